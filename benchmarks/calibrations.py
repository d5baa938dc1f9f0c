"""Fit the calibrations that the package ships, on tuning pictures of the world: ``python benchmarks/calibrations.py``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

TARGETS = 60
"""Pictures of each category that are checked."""

VOTES = (1, 2, 5)
"""Numbers of references that calibrations are fitted for; 0 stands for plain nearest neighbours of one photo."""


def main(folder: Path | None = None) -> None:
    """Write one file for each reader of the bundled model, and one for any other model."""
    from diffsight.benchmarks.transfer import fit_calibrations, world_jobs
    from diffsight.matching.confidence import ANY, SHIPPED, Calibrations
    from diffsight.matching.refine import refinement
    from diffsight.readers import open_reader
    from diffsight.world import TUNING

    about = f"world pictures of tuning seeds, {TARGETS} of each category; right is within 0.1 of the object's box"
    folder = SHIPPED if folder is None else folder
    jobs = world_jobs(max(VOTES), TARGETS, TUNING)
    for name in ("pocket", "pocket+"):
        reader = open_reader(name)
        own: dict[bool, Calibrations] = {}
        for portable in (False, True):
            best, plain = (
                fit_calibrations(jobs, reader, refinement(preset, reader.refine), votes, about, portable=portable)
                for preset, votes in (("best", VOTES), ("plain", (1,)))
            )
            own[portable] = replace(best, by_votes={0: plain.by_votes[1], **best.by_votes})
        own[False].save(folder / f"{name}.json")
        print(folder / f"{name}.json", flush=True)
    own[True].save(folder / f"{ANY}.json")
    print(folder / f"{ANY}.json")


if __name__ == "__main__":
    main()
