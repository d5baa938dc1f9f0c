"""``diffsight track``: objects, boxes or points followed through a video."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidInput
from ..files import check_writable, file_digest
from .inputs import parse_box, parse_point, read_points
from .options import Device, Dtype, Ensemble, Model, Prompt, Seed, Timestep
from .track_folder import TrackFolder

if TYPE_CHECKING:
    from ..types import Picture
    from ..video.labels import Target

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
    stop = None if frames is None else start + frames
    folder = TrackFolder(video, out, start, stop, target, bool(corners), skip_bad, facts)
    folder.claim()
    folder.follow(tracker)
    folder.finish(overlay, None if fps is None else Fraction(fps).limit_denominator(1000), first.size)
    if folder.skipped:
        for reason in folder.skipped.values():
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
