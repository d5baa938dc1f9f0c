"""A folder of photos cut into parts: photos a second of the command against a photo at a time by a script."""

from __future__ import annotations

import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from harness import MIB, measure

PHOTOS = 24


def folder(which: str) -> dict[str, Any]:
    """24 photos of 640 x 480 cut by pocket and drawn; literal: read, cut and saved by a script, one after another."""
    import numpy as np
    import torch
    from PIL import Image

    from diffsight.cli import run
    from diffsight.draw import draw_segments, save_picture, segment_colours
    from diffsight.images import load_picture
    from diffsight.segmentation.export import save_description, save_labels
    from diffsight.segmentation.segmenter import Segmenter
    from diffsight.world import make_scene

    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as name:
        photos, out = Path(name, "in"), Path(name, "out")
        photos.mkdir()
        out.mkdir()
        for seed in range(PHOTOS):
            scene = Image.fromarray(make_scene(seed, 128, count=2).image)
            scene.resize((640, 480), Image.Resampling.BICUBIC).save(photos / f"{seed:02d}.jpg", quality=90)

        def literal() -> None:
            segmenter = Segmenter("pocket", device="cpu", dtype="float32")
            for path in sorted(photos.iterdir()):
                picture = load_picture(path)
                found = segmenter.segment(picture)
                save_picture(draw_segments(picture, found), out / f"{path.stem}_overlay.png")
                save_labels(found, out / f"{path.stem}_labels.png", segment_colours(len(found)))
                save_description(found, out / f"{path.stem}.json")

        def fast() -> None:
            words = ["segment", str(photos), "--out", str(out), "--device", "cpu", "--dtype", "float32"]
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                assert run(words) == 0

        seconds, peak, _ = measure(literal if which == "literal" else fast, 1)
        labels = [np.asarray(Image.open(path)) for path in sorted(out.glob("*_labels.png"))]
        answer = [float(own.mean()) for own in labels]
    return {
        "seconds": seconds,
        "peak_mib": peak / MIB,
        "answer": answer,
        "notes": {"photos a second": PHOTOS / seconds},
    }
