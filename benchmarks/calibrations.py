"""Fit the calibrations that the package ships, on tuning pictures: ``python benchmarks/calibrations.py``."""

from __future__ import annotations

from pathlib import Path

TARGETS = 60
"""Pictures of each category that are checked."""

VOTES = (1, 2, 5)
"""Numbers of references that calibrations are fitted for; 0 stands for plain nearest neighbours of one photo."""


def main(folder: Path | None = None) -> None:
    """Write one file for each reader of the bundled model, and one, of the last of them, for any other model."""
    from diffsight.benchmarks.transfer import check, fit_calibrations, world_jobs
    from diffsight.matching.confidence import ANY, SHIPPED
    from diffsight.matching.refine import refinement
    from diffsight.readers import open_reader
    from diffsight.world import TUNING

    about = f"world pictures of tuning seeds, {TARGETS} of each category; right is within 0.1 of the object's box"
    folder = SHIPPED if folder is None else folder
    jobs = world_jobs(max(VOTES), TARGETS, TUNING)
    for name in ("pocket", "pocket+"):
        reader = open_reader(name)
        plain = check(jobs, reader, refinement("plain", reader.refine), (1,))
        outcomes = {0: plain[1], **check(jobs, reader, refinement("best", reader.refine), VOTES)}
        for portable, path in ((False, folder / f"{name}.json"), (True, folder / f"{ANY}.json")):
            fit_calibrations(outcomes, name, about, reader.record, portable=portable).save(path)
            print(path, flush=True)


if __name__ == "__main__":
    main()
