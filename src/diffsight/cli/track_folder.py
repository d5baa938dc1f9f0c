"""The folder that ``diffsight track`` works in: claimed, filled frame by frame, gone on with, summed up."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DiffsightError, InvalidInput
from ..files import CONVENTION, save_json

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ..grid import Size
    from ..video.export import Rows
    from ..video.labels import Target
    from ..video.tracker import Tracker

SUMMARIES = ("track.json", "overlay.mp4", "overlay.gif")


@dataclass
class TrackFolder:
    """One video being followed into one folder.

    Attributes:
        video: the source.
        out: the folder.
        start, stop: numbers of the first frame, and of the first one not to follow any more.
        target: what is followed.
        boxed: whether boxes were asked for.
        skip_bad: whether damaged frames are left out.
        facts: what the results depend on; a folder holds results of equal facts only.
    """

    video: Path
    out: Path
    start: int
    stop: int | None
    target: Target
    boxed: bool
    skip_bad: bool
    facts: dict[str, Any]

    def __post_init__(self) -> None:
        self.facts = json.loads(json.dumps(self.facts))
        self.state = self.out / "state"
        self.points_file = self.out / "points.csv"
        self.skipped: dict[int, str] = {}

    def claim(self) -> None:
        """Take the folder for this run, or go on with it.

        Raises:
            InvalidInput: if it holds something else.
        """
        path = self.out / "run.json"
        if not path.exists():
            if self.out.exists() and any(not found.name.startswith(".") for found in self.out.iterdir()):
                raise InvalidInput(f"{self.out} holds other files; give an empty or a new folder as --out")
            save_json(self.facts, path)
            return
        try:
            known = json.loads(path.read_text())
            differ = [name for name, value in self.facts.items() if known.get(name) != value]
        except (OSError, ValueError, AttributeError):
            raise InvalidInput(f"{path} is damaged; delete {self.out} or give another --out") from None
        if differ:
            raise InvalidInput(
                f"{self.out} holds another run (other {', '.join(differ)}); give another --out, or delete it"
            )
        for leftover in self.out.rglob(".*.part.*"):  # of a run that was killed while it wrote
            leftover.unlink()

    def follow(self, tracker: Tracker) -> None:
        """Follow all frames that are not finished yet."""
        from tqdm import tqdm

        from ..video.export import append_points, save_soft, trim_points
        from ..video.frames import frame_count, read_frames
        from ..video.masks import save_mask
        from ..video.tracker import TrackWarning

        known = self._known()
        done = max(known, default=-1)
        trim_points(self.points_file, done)
        if self.stop is not None and done + 1 >= self.stop:
            return
        frames = read_frames(
            self.video,
            start=self.start,
            stop=self.stop,
            wanted=lambda index: tracker.needed(self.start, known, index),
            on_bad=self._note if self.skip_bad else _stop,
        )
        total = self.stop or frame_count(self.video)
        bar = {"total": None if total is None else total - self.start, "initial": max(0, done + 1 - self.start)}
        with tqdm(desc="tracking", unit="frame", **bar) as progress, warnings.catch_warnings():
            warnings.simplefilter("ignore", TrackWarning)  # said before the run began
            for found in tracker.track(frames, self.target, known):
                for name in SUMMARIES:  # of an earlier run: they lack this frame
                    (self.out / name).unlink(missing_ok=True)
                if found.labels is not None:
                    save_mask(found.labels, self.out / f"{found.frame:05d}.png")
                else:
                    append_points(found, self.points_file)
                save_soft(found, self.state, self.facts["propagation"]["context"])
                progress.update(found.frame + 1 - self.start - progress.n)

    def _known(self) -> dict[int, Tensor]:
        """What earlier runs have left to go on from; nothing, if one of their results is gone."""
        from ..video.export import load_soft

        skipped = self.state / "skipped.json"
        if skipped.exists():
            self.skipped = {int(index): reason for index, reason in json.loads(skipped.read_text()).items()}
        known = load_soft(self.state)
        if gone := self._gone(max(known, default=-1)):
            print(f"{gone} is gone; starting over")
            shutil.rmtree(self.state)
            self.skipped = {}
            return {}
        return known

    def _gone(self, done: int) -> str | None:
        """A result that should be there."""
        if self.target.points is not None:
            return None if done < 0 or self.points_file.exists() else self.points_file.name
        names = (f"{index:05d}.png" for index in range(self.start, done + 1) if index not in self.skipped)
        return next((name for name in names if not (self.out / name).exists()), None)

    def _note(self, index: int, error: DiffsightError) -> None:
        self.skipped[index] = str(error)
        save_json({str(i): reason for i, reason in self.skipped.items()}, self.state / "skipped.json")

    def finish(self, overlay: str, rate: Fraction | None, size: Size) -> None:
        """Write what sums the run up, and print where it is."""
        from ..video import export
        from ..video.frames import frame_names

        rows = export.read_points(self.points_file) if self.target.points is not None else {}
        done = sorted(rows) if rows else [int(path.stem) for path in self._masks()]
        if len(done) == 1:
            print("the video has one frame here; there was nothing to follow")
        picture = self.out / f"overlay.{overlay}"
        if overlay != "none" and not (picture.exists() and (self.out / "track.json").exists()):
            self._draw(picture, rate, done, rows)
        export.save_description(
            self.out / "track.json",
            size,
            list(zip(done, frame_names(self.video, done), strict=True)),
            export.categories(self.target),
            ((index, own) for index in done for own in self._annotations(index, rows)),
            video=str(self.video),
            convention=CONVENTION,
            skipped=[{"frame": index, "reason": reason} for index, reason in sorted(self.skipped.items())],
            **self.facts,
        )
        print(self.out)

    def _masks(self) -> list[Path]:
        return sorted(self.out.glob("[0-9]*.png"), key=lambda path: int(path.stem))

    def _annotations(self, index: int, rows: Rows) -> Iterator[dict[str, Any]]:
        from ..video.export import mask_annotations, point_annotation

        if rows:
            yield point_annotation(rows[index])
        else:
            yield from mask_annotations(self._labels(index), self.target.ids, pieces=self.boxed)

    def _labels(self, index: int) -> np.ndarray:
        from ..video.masks import load_labels

        return load_labels(self.out / f"{index:05d}.png")

    def _draw(self, path: Path, rate: Fraction | None, done: list[int], rows: Rows) -> None:
        """A video of the frames with what was followed laid over them; they are read once more for it."""
        import numpy as np
        from tqdm import tqdm

        from ..draw import draw_overlay
        from ..video.frames import frame_rate, read_frames
        from ..video.labels import piece_boxes
        from ..video.masks import davis_palette
        from ..video.movies import video_writer

        shown, table = set(done), davis_palette()
        frames = read_frames(self.video, start=self.start, stop=done[-1] + 1, wanted=shown.__contains__)
        with video_writer(path, rate or frame_rate(self.video)) as add:
            for frame in tqdm(frames, desc="drawing", unit="frame", total=len(done), delay=2, leave=False):
                if rows:
                    image = draw_overlay(frame.picture, points=rows[frame.index][:, :2])
                else:
                    labels = self._labels(frame.index)
                    found = piece_boxes(labels, self.target.ids) if self.boxed else None
                    image = draw_overlay(frame.picture, labels=labels, boxes=found, colours=table)
                add(np.asarray(image))
        print(path)


def _stop(index: int, error: DiffsightError) -> None:
    raise type(error)(f"{error}; or leave such frames out by --skip-bad") from None
