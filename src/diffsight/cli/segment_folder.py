"""Photos cut into their parts, here or on many machines: what is done to each, and what is written of it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine import Loaded, run
from ..errors import InvalidInput, UnreadableFile
from ..files import file_digest, save_bytes, save_json

if TYPE_CHECKING:
    from PIL import Image

    from ..backbones.base import Backbone
    from ..backbones.captioner import Captioner
    from ..segmentation.diffseg import DiffSegSettings
    from ..segmentation.segmenter import Segmenter, Settings

SHEET = 48
"""Photos on a contact sheet at most."""


@dataclass(frozen=True)
class Photo:
    """A photo to be cut.

    Attributes:
        path: of the file.
        known: digest of the photo that a result with the same settings is there of; None if there is no such result.
    """

    path: Path
    known: str | None


@dataclass(frozen=True)
class Parts:
    """A photo that was cut.

    Attributes:
        digest: of the photo.
        pictures: PNG files by the ending of their names.
        description: what ``segmentation.export.describe`` says.
    """

    digest: str
    pictures: dict[str, bytes]
    description: dict[str, Any]


Outcome = Parts | UnreadableFile | InvalidInput | None
"""The parts; or why there are none; or None, as they are known already."""


@dataclass(frozen=True)
class Recipe:
    """All that cutting a photo hangs on; makes a ``Cutter``.

    Attributes:
        model, device, dtype, solver, settings, borders, store: as the segmenter takes them.
        changes: of its reading.
        naming: how segments are named, as ``Segmenter.segment`` takes it.
        captioner: folder or hub id of what writes the caption.
        swept: settings of the cuts to be drawn beside each other.
        points: whose attention is to be drawn.
    """

    model: str
    device: str | None
    dtype: str | None
    solver: Any
    settings: Settings | None
    borders: float
    store: Path | None
    changes: dict[str, Any]
    naming: dict[str, Any]
    captioner: str | None
    swept: list[DiffSegSettings]
    points: list[tuple[float, float]]

    def __call__(self) -> Cutter:
        """Load the networks."""
        from ..backbones.registry import load

        return self.cutter(load(self.model, device=self.device, dtype=self.dtype))

    def cutter(self, backbone: Backbone) -> Cutter:
        """The cutter, with a network that is loaded already."""
        from ..backbones.captioner import Captioner
        from ..segmentation.segmenter import Segmenter

        segmenter = Segmenter(
            backbone,
            solver=self.solver,
            settings=self.settings,
            borders=self.borders,
            store=self.store,
            **self.changes,
        )
        captioner = None if self.captioner is None else Captioner(self.captioner, device=self.device)
        return Cutter(segmenter, self, captioner)


@dataclass(frozen=True)
class Cutter:
    """Cuts photos, one at a time."""

    segmenter: Segmenter
    recipe: Recipe
    captioner: Captioner | None

    def __call__(self, photo: Photo) -> Outcome:
        """Cut a photo, unless its parts are known."""
        digest = file_digest(photo.path)
        if digest == photo.known:
            return None
        try:
            return self._cut(photo.path, digest)
        except (UnreadableFile, InvalidInput) as error:
            return error

    def _cut(self, path: Path, digest: str) -> Parts:
        import numpy as np

        from ..draw import draw_heat, draw_segments, draw_sheet, panel_size, segment_colours
        from ..images import load_picture
        from ..segmentation.export import describe, label_image

        segmenter, points, swept = self.segmenter, self.recipe.points, self.recipe.swept
        naming = self.recipe.naming if self.captioner is None else {**self.recipe.naming, "caption": self.captioner}
        picture = load_picture(path)
        segmenter.fit(picture).check_points(np.array(points).reshape(-1, 2), "--heat point")
        prepared = segmenter.prepare(picture)
        found = segmenter.segment(prepared, **naming)
        drawn = {
            "overlay": draw_segments(picture, found),
            "labels": label_image(found, segment_colours(len(found))),
        }
        width, height = panel_size(picture)
        for number, point in enumerate(points, start=1):
            attention = segmenter.attention_at(prepared, point, (height, width))
            drawn[f"heat_{number:02d}"] = draw_heat(picture, attention, np.array(point))
        if swept:
            cuts = [segmenter.cut(prepared, settings) for settings in swept]
            titles = [f"{s.thresholds[0]:g}: {len(cut)} segments" for s, cut in zip(swept, cuts, strict=True)]
            drawn["sweep"] = draw_sheet([draw_segments(picture, cut) for cut in cuts], titles)
        return Parts(digest, {kind: _png(image) for kind, image in drawn.items()}, describe(found))


def _png(image: Image.Image) -> bytes:
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def cut_all(
    jobs: dict[str, Path], out: Path, cutter: Cutter, facts: dict[str, Any], engine: str, workers: int | None
) -> list[str]:
    """Cut every photo that has no result yet, and write what is found.

    Args:
        jobs: photos by the stem of their results.
        out: folder of the results.
        cutter: of this process.
        facts: that every result records, and that a result to be kept must have.
        engine, workers: as ``engine.run`` takes them.

    Returns:
        A line for each photo that could not be read or cut.

    Raises:
        InvalidInput: if there are photos and the settings suit none of them.
        UnreadableFile: if the only photo cannot be read.
    """
    from tqdm import tqdm

    photos = [Photo(path, _known(stem, facts, out)) for stem, path in jobs.items()]
    gpus = 1 if cutter.segmenter.backbone.device.type == "cuda" else 0
    outcomes = run(Loaded(cutter, cutter.recipe), photos, engine=engine, workers=workers, gpus=gpus)
    bar = tqdm(outcomes, total=len(photos), desc="cutting", unit="photo", disable=len(jobs) == 1)
    failed: list[str] = []
    unsuitable: InvalidInput | None = None
    for stem, (photo, outcome) in zip(jobs, bar, strict=True):
        if isinstance(outcome, Parts):
            own = {"photo": str(photo.path), "photo_digest": outcome.digest, **facts}
            _write(outcome, stem, own, out)
        elif isinstance(outcome, UnreadableFile):
            if len(jobs) == 1:
                raise outcome
            failed.append(str(outcome))
        elif isinstance(outcome, InvalidInput):
            unsuitable = unsuitable or outcome
            failed.append(f"{photo.path}: {outcome}")
    if unsuitable and len(failed) == len(jobs):  # what suits no photo is a matter of the settings
        raise unsuitable
    if len(jobs) > 1:
        _save_sheet([stem for stem in jobs if (out / f"{stem}_overlay.png").exists()], out)
    return failed


def _known(stem: str, facts: dict[str, Any], out: Path) -> str | None:
    """Digest of the photo that a whole result with these facts is there of; its JSON is written last."""
    try:
        found = json.loads((out / f"{stem}.json").read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not all((out / f"{stem}_{kind}.png").exists() for kind in ("overlay", "labels")):
        return None
    same = all(found.get(key) == value for key, value in facts.items())
    return found.get("photo_digest") if same else None


def _write(parts: Parts, stem: str, facts: dict[str, Any], out: Path) -> None:
    with suppress(OSError):  # of another run; it must not stand beside this one's pictures
        (out / f"{stem}.json").unlink()
    for kind, content in parts.pictures.items():
        save_bytes(content, out / f"{stem}_{kind}.png")
    save_json({**facts, **parts.description}, out / f"{stem}.json")


def _save_sheet(stems: list[str], out: Path) -> None:
    """A contact sheet of the overlays, of evenly chosen ones if there are many."""
    from PIL import Image

    from ..draw import draw_sheet, save_picture

    chosen = [stems[i * len(stems) // SHEET] for i in range(SHEET)] if len(stems) > SHEET else stems
    if not chosen:
        return
    small = []
    for stem in chosen:
        path = out / f"{stem}_overlay.png"
        try:
            with Image.open(path) as image:
                image.thumbnail((240, 240))
                small.append(image.copy())
        except OSError as error:
            raise UnreadableFile(f"{path} is damaged ({error}); delete it, and it will be made again") from None
    save_picture(draw_sheet(small, chosen), out / "sheet.png")
