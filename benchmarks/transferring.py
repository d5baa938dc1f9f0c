"""Carrying annotations: what matching takes beside reading, and whether memory grows with the photos."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from harness import MIB, resident

PHOTOS = 2_000
"""Procedural faces of 256 px, five annotated ones before them."""

TIMED = 200


def transferring() -> dict[str, float]:
    """Five annotated faces carried to 2,000 others, with pocket+ and the best preset."""
    from PIL import Image

    from diffsight.benchmarks.transfer import world_marks
    from diffsight.matching.confidence import Calibrations
    from diffsight.matching.refine import refinement
    from diffsight.readers import open_reader
    from diffsight.transfer.annotations import AnnotatedPhoto, Annotations, Category
    from diffsight.transfer.carry import CarrySettings
    from diffsight.transfer.folder import TransferFolder
    from diffsight.transfer.work import Transfer
    from diffsight.world import make_scene

    reader = open_reader("pocket+")
    reading: list[float] = []
    read = reader.read

    def timed(pictures):  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        found = read(pictures)
        reading.append(time.perf_counter() - start)
        return found

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        marked = []
        for seed in range(5 + PHOTOS):
            scene = make_scene(1_000_000_000 + seed, 256, kinds=("face",))
            path = root / f"{seed:04d}.png"
            Image.fromarray(scene.image).save(path, compress_level=1)
            if seed < 5:
                shown = scene.objects[0]
                marked.append(AnnotatedPhoto(path.name, path, (256, 256), (world_marks(shown),)))
        references = Annotations((Category("face", shown.names),), marked)
        how = CarrySettings(refinement("best", reader.refine))
        transfer = Transfer(reader, references, how, Calibrations.shipped(reader.name))
        reader.read = timed  # type: ignore[method-assign]
        folder, held, seconds = TransferFolder(root / "out"), [], []
        photos = {path.name: path for path in sorted(root.glob("*.png"))[5:]}
        for job in folder.jobs(photos):
            start = time.perf_counter()
            folder.keep(job, transfer(job))
            seconds.append(time.perf_counter() - start)
            held.append(resident() / MIB)
        start = time.perf_counter()
        folder.write(references.categories, photos, {}, review=0)
        writing = time.perf_counter() - start
    whole, passes = sum(seconds[:TIMED]), sum(reading[:TIMED])
    return {
        "readings a photo": len(reading) / PHOTOS,
        "milliseconds a photo": 1000 * whole / TIMED,
        "of these for all but reading, percent (matching, files)": 100 * (1 - passes / whole),
        "resident after 200 photos, MiB": held[TIMED - 1],
        "resident after 2,000 photos, MiB": held[-1],
        "seconds to write the annotation files of 2,000": writing,
    }
