"""``diffsight track``: objects, boxes or points followed through a video."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DiffsightError, InvalidInput
from ..files import atomic, check_writable
from .inputs import CONVENTION, file_digest, parse_box, parse_point, read_points
from .options import Device, Dtype, Ensemble, Model, Prompt, Seed, Timestep

if TYPE_CHECKING:
    import numpy as np

    from ..types import Picture
    from ..video.export import Rows
    from ..video.labels import Target
    from ..video.tracker import Tracker

GIB = 2**30


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("track")(track)


def track(
    video: Annotated[Path, typer.Argument(metavar="VIDEO|FOLDER", help="A video file, or a folder of frames.")],
    mask: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Follow the objects of these labels of the first frame.")
    ] = None,
    point: Annotated[list[str] | None, typer.Option(metavar="X,Y", help="Follow this point; repeat for more.")] = None,
    points: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Follow points: columns x and y.")] = None,
    box: Annotated[
        list[str] | None, typer.Option(metavar="X0,Y0,X1,Y1", help="Follow what lies in this box; repeat for more.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results of this run.")] = Path("tracked"),
    start: Annotated[int, typer.Option(help="Number of the frame to begin at; mask, points or boxes are its.")] = 0,
    frames: Annotated[int | None, typer.Option(help="How many frames; to the end if left out.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave damaged frames out instead of stopping.")] = False,
    overlay: Annotated[str, typer.Option(help="mp4, gif or none.")] = "mp4",
    fps: Annotated[float | None, typer.Option(help="Frames a second of the overlay; the video's if left out.")] = None,
    model: Model = "pocket",
    preset: Annotated[str | None, typer.Option(help="davis, davis-adm or jhmdb; the model's own if left out.")] = None,
    context: Annotated[int | None, typer.Option(help="Frames before the present one to look at.")] = None,
    radius: Annotated[int | None, typer.Option(help="How far to look, in cells of the grid.")] = None,
    window: Annotated[str | None, typer.Option(help="square or circle.")] = None,
    top: Annotated[int | None, typer.Option(help="How many of the best cells count.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the softmax over their cosines.")] = None,
    shrink: Annotated[
        str | None, typer.Option(help="How the first mask becomes cells: nearest, or area (keeps small objects).")
    ] = None,
    spread: Annotated[
        bool | None, typer.Option("--spread/--no-spread", help="Spread each label's map to 0..1 before comparing.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Shorter side of the network's input, pixels.")] = None,
    stage: Annotated[str | None, typer.Option(help="Feature stage, such as up2.")] = None,
    timestep: Timestep = None,
    ensemble: Ensemble = None,
    prompt: Prompt = None,
    batch: Annotated[int, typer.Option(help="Frames read together.")] = 8,
    memory: Annotated[float, typer.Option(metavar="GIB", help="Budget for the context, and for a pass.")] = 2.0,
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Follow objects, boxes or points of one frame through the frames after it.

    Writes labels of every frame (00000.png, DAVIS's palette) or points.csv, track.json (COCO) and an overlay. A run
    that was stopped, however hard, goes on where it stood and ends with the same files; a finished one can be given
    more --frames. Frames left out are listed at the end (exit code 1).
    """
    if sum(bool(given) for given in (mask, point or points, box)) != 1:
        raise InvalidInput("say what to follow in the first frame by --mask, --point or --points, or --box")
    if overlay not in ("mp4", "gif", "none"):
        raise InvalidInput(f"unknown overlay {overlay!r}; use mp4, gif or none")
    if fps is not None and not 0 < fps <= 1000:
        raise InvalidInput(f"--fps {fps:g} does not suit; use more than 0, up to 1000")
    if not 0 < memory < float("inf"):
        raise InvalidInput(f"--memory {memory:g} does not suit; give GiB above 0")
    if frames is not None and frames < 1:
        raise InvalidInput(f"--frames {frames} is too few; use 1 or more")
    places = [parse_point(text) for text in point or []] + (read_points(points) if points else [])
    corners = [parse_box(text) for text in box or []]
    check_writable(out)

    from ..backbones.registry import load
    from ..video.frames import read_frames
    from ..video.propagate import settings_for
    from ..video.tracker import Tracker

    first = next(read_frames(video, start=start, stop=start + 1)).picture
    target = _target(first, mask, places, corners)
    backbone = load(model, device=device, dtype=dtype)
    settings = settings_for(
        backbone.card.track,
        preset,
        context=context,
        radius=radius,
        window=window,
        top=top,
        temperature=temperature,
        shrink=shrink,
        spread=spread,
    )
    changes: dict[str, Any] = {
        "stage": stage,
        "timestep": timestep,
        "ensemble": ensemble,
        "prompt": prompt,
        "seed": seed,
    }
    tracker = Tracker(backbone, settings=settings, short=size, batch=batch, memory=int(memory * GIB), **changes)
    for line in tracker.remarks(first.size, target):
        print(line)
    facts = {
        "video_digest": _digest(video),
        "mask_digest": file_digest(mask) if mask else "",
        "points": places,
        "boxes": corners,
        "start": start,
        "model": backbone.card.name,
        "weights": backbone.fingerprint,
        "reading": asdict(tracker.reading_of(first.size)),
        "propagation": asdict(tracker.affordable(first.size, target)),
        "batch": batch,
    }
    run = _Run(video, out, start, None if frames is None else start + frames, target, bool(corners), skip_bad, facts)
    run.claim()
    new = run.follow(tracker)
    run.finish(overlay, None if fps is None else Fraction(fps).limit_denominator(1000), new, first.size)
    if run.skipped:
        for reason in run.skipped.values():
            print(f"skipped: {reason}")
        raise typer.Exit(1)


def _target(
    first: Picture,
    mask: Path | None,
    places: list[tuple[float, float]],
    corners: list[tuple[float, float, float, float]],
) -> Target:
    from ..grid import Fit
    from ..video import labels
    from ..video.masks import load_mask

    if mask is not None:
        return labels.objects(load_mask(mask), first.size)
    if corners:
        return labels.boxes(corners, first.size)
    return labels.points(Fit.make("stretch", first.size, first.size).check_points(places))


def _digest(video: Path) -> str:
    """Of a file's bytes, or of the names and bytes of a folder's frames."""
    from ..video.frames import photos_of

    if not video.is_dir():
        return file_digest(video)
    facts = [(photo.name, file_digest(photo)) for photo in photos_of(video)]
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()


@dataclass
class _Run:
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
        if path.exists():
            try:
                known = json.loads(path.read_text())
            except (OSError, ValueError):
                known = None
            if not isinstance(known, dict):
                raise InvalidInput(f"{path} is damaged; delete {self.out} or give another --out")
            if other := [name for name, value in self.facts.items() if known.get(name) != value]:
                raise InvalidInput(
                    f"{self.out} holds another run (other {', '.join(other)}); give another --out, or delete it"
                )
            if (self.state / "skipped.json").exists():
                self.skipped = {
                    int(i): line for i, line in json.loads((self.state / "skipped.json").read_text()).items()
                }
        elif self.out.exists() and any(self.out.iterdir()):
            raise InvalidInput(f"{self.out} holds other files; give an empty or a new folder as --out")
        else:
            _save_json(self.facts, path)

    def follow(self, tracker: Tracker) -> int:
        """Follow all frames that are not finished yet; returns how many those were."""
        from tqdm import tqdm

        from ..video.export import append_points, load_soft, save_soft, trim_points
        from ..video.frames import frame_count, read_frames
        from ..video.masks import save_mask
        from ..video.tracker import TrackWarning

        known = load_soft(self.state)
        if gone := self._gone(max(known, default=-1)):
            print(f"{gone} is gone; starting over")
            known = {}
        done = max(known, default=-1)
        trim_points(self.points_file, done)
        if self.stop is not None and done + 1 >= self.stop:
            return 0
        frames = read_frames(
            self.video,
            start=self.start,
            stop=self.stop,
            wanted=lambda index: tracker.needed(self.start, known, index),
            on_bad=self._note if self.skip_bad else None,
        )
        total = self.stop or frame_count(self.video)
        bar = {"total": None if total is None else total - self.start, "initial": max(0, done + 1 - self.start)}
        new = 0
        with tqdm(desc="tracking", unit="frame", **bar) as progress, warnings.catch_warnings():
            warnings.simplefilter("ignore", TrackWarning)  # said before the run began
            for found in tracker.track(frames, self.target, known):
                if found.labels is not None:
                    save_mask(found.labels, self.out / f"{found.frame:05d}.png")
                else:
                    append_points(found, self.points_file)
                save_soft(found, self.state, self.facts["propagation"]["context"])
                progress.update(found.frame + 1 - self.start - progress.n)
                new += 1
        return new

    def _gone(self, done: int) -> str | None:
        """A result that should be there."""
        if self.target.points is not None:
            return None if done < 0 or self.points_file.exists() else self.points_file.name
        names = (f"{index:05d}.png" for index in range(self.start, done + 1) if index not in self.skipped)
        return next((name for name in names if not (self.out / name).exists()), None)

    def _note(self, index: int, error: DiffsightError) -> None:
        if index not in self.skipped:
            self.skipped[index] = f"{error}" if f"{index}" in f"{error}" else f"frame {index}: {error}"
            _save_json(self.skipped, self.state / "skipped.json")

    def finish(self, overlay: str, rate: Fraction | None, new: int, size: tuple[int, int]) -> None:
        """Write what sums the run up, and print where it is."""
        from ..video import export
        from ..video.frames import frame_names

        rows = export.read_points(self.points_file) if self.target.points is not None else {}
        done = sorted(rows) if rows else [int(path.stem) for path in self._masks()]
        if len(done) == 1:
            print("the video has one frame here; there was nothing to follow")
        picture = self.out / f"overlay.{overlay}"
        if overlay != "none" and (new or not picture.exists()):
            self._draw(picture, rate, done, rows)
        export.save_description(
            self.out / "track.json",
            size,
            list(zip(done, frame_names(self.video, done), strict=True)),
            self._categories(),
            ((i, {"category_id": 1, **a}) for i in done for a in self._annotations(i, rows)),
            video=str(self.video),
            convention=CONVENTION,
            skipped=list(self.skipped.values()),
            **self.facts,
        )
        print(self.out)

    def _masks(self) -> list[Path]:
        return sorted(self.out.glob("[0-9]*.png"), key=lambda path: int(path.stem))

    def _categories(self) -> list[dict[str, Any]]:
        if self.target.points is None:
            return [{"id": label, "name": f"object {label}"} for label in self.target.ids]
        return [{"id": 1, "name": "points", "keypoints": [f"point {i}" for i in self.target.ids], "skeleton": []}]

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


def _save_json(facts: dict[Any, Any], path: Path) -> None:
    with atomic(path) as part:
        part.write_text(json.dumps(facts, indent=1) + "\n")
