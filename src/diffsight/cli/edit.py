"""``diffsight edit``: a sticker drawn on one photo, put where it belongs in others."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DiffsightError, InvalidInput
from ..files import check_writable, file_digest, save_json
from .inputs import collect, refuse_other_run
from .options import Device, Dtype, Ensemble, Model, Prompt, Seed, Side, Stage, Store, Timestep

if TYPE_CHECKING:
    from ..editing import Edit, Editor, EditSettings, EditSource

REPORT = "edit.json"
CLIPS = (".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("edit")(edit)


def edit(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The photo that the sticker was drawn on.")],
    sticker: Annotated[
        Path, typer.Argument(metavar="STICKER", help="A picture of the same size, transparent around the drawing.")
    ],
    targets: Annotated[list[Path], typer.Argument(metavar="TARGET ...", help="Photos, folders of photos, or clips.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")] = Path("edited"),
    warp: Annotated[
        str | None, typer.Option(help="homography (the default), affine, or smooth for shapes a plane cannot fit.")
    ] = None,
    preset: Annotated[str, typer.Option(help="default, or paper: as DIFT's script does it.")] = "default",
    points: Annotated[int | None, typer.Option(help="Points under the sticker that are matched.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="How far off an agreeing match may be, pixels of the target.")
    ] = None,
    slack: Annotated[
        float | None, typer.Option(help="Likewise for a smooth warp, as a share of the target's diagonal.")
    ] = None,
    estimator: Annotated[str | None, typer.Option(help="magsac, ransac or lmeds.")] = None,
    mutual: Annotated[bool | None, typer.Option("--mutual/--one-way", help="Use only matches that lead back.")] = None,
    model: Model = "pocket",
    prompt: Prompt = None,
    size: Side = None,
    stage: Stage = None,
    timestep: Timestep = None,
    ensemble: Ensemble = None,
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = None,
    store: Store = None,
) -> None:
    """Put a sticker, drawn on a photo, where it belongs in other photos, or in every frame of a clip.

    Writes NAME_edit.png and NAME_matches.png (green: used) for each photo, NAME_edit.mp4 for each clip, and edit.json.
    Says where the result should not be trusted, and why.
    """
    jobs = collect(targets, out)
    check_writable(out)
    digests = {"source": file_digest(source), "sticker": file_digest(sticker)}
    refuse_other_run(out / REPORT, {"digests": digests})

    from tqdm import tqdm

    from ..editing import Editor

    changes = {"warp": warp, "points": points, "threshold": threshold, "slack": slack, "estimator": estimator}
    settings = _settings(preset, {**changes, "mutual": mutual, "seed": seed})
    reading: dict[str, Any] = {"prompt": prompt, "stage": stage, "timestep": timestep, "ensemble": ensemble}
    reading |= {"size": None if size is None else (size, size), "seed": seed}
    editor = Editor(model, settings=settings, device=device, dtype=dtype, store=store, **reading)
    drawn_on = editor.source(source, sticker)
    rows, failed = [], []
    for stem, path in tqdm(jobs.items(), desc="editing", unit="target", disable=len(jobs) == 1):
        try:
            one = _clip if path.suffix.lower() in CLIPS else _photo
            rows.append(one(stem, path, editor, drawn_on, out))
        except DiffsightError as error:
            if len(jobs) == 1:
                raise
            failed.append(str(error))
    facts = {
        "source": str(source),
        "sticker": str(sticker),
        "digests": digests,
        "model": editor.matcher.reader.name,
        "reading": editor.matcher.reader.record,
        "settings": asdict(settings),
        "edits": rows,
        "skipped": failed,
    }
    save_json(facts, out / REPORT)
    for row in rows:
        print(f"{row['file']}: {row['summary']}")
        for line in row["warnings"]:
            print(f"  doubtful: {line}")
    print(out / REPORT)
    for line in failed:
        print(f"skipped: {line}")
    if failed:
        raise typer.Exit(1)


def _settings(preset: str, changes: dict[str, Any]) -> EditSettings:
    from ..editing import PAPER, EditSettings

    presets = {"default": EditSettings(), "paper": PAPER}
    if preset not in presets:
        raise InvalidInput(f"unknown preset {preset!r}; use {' or '.join(presets)}")
    return replace(presets[preset], **{name: value for name, value in changes.items() if value is not None})


def _photo(stem: str, path: Path, editor: Editor, source: EditSource, out: Path) -> dict[str, Any]:
    """Edit one photo, and write its pictures."""
    from PIL import Image

    from ..draw import save_picture
    from ..draw_alignment import draw_inliers
    from ..images import load_picture

    target = load_picture(path)
    found = editor.paste(source, target)
    if found.picture is None:
        raise DiffsightError(f"the sticker finds no place in {path}: {found.warnings[0]}")
    save_picture(draw_inliers(source.picture, target, found.matches, found.alignment), out / f"{stem}_matches.png")
    save_picture(Image.fromarray(found.picture.array()), out / f"{stem}_edit.png")
    figures = _figures(found)
    summary = "{inliers} of {matches} matches agree, {folded:.0%} folded over".format(**figures)
    return {"target": str(path), "file": str(out / f"{stem}_edit.png"), "summary": summary, **figures}


def _clip(stem: str, path: Path, editor: Editor, source: EditSource, out: Path) -> dict[str, Any]:
    """Edit every frame of a clip by itself; a frame in which the sticker finds no place stays as it is."""
    from tqdm import tqdm

    from ..video.frames import frame_count, frame_rate, read_frames
    from ..video.movies import video_writer

    file, frames = out / f"{stem}_edit.mp4", []
    with video_writer(file, frame_rate(path)) as add:
        for frame in tqdm(read_frames(path), desc=path.name, unit="frame", total=frame_count(path), leave=False):
            found = editor.paste(source, frame.picture)
            add((found.picture or frame.picture).array())
            frames.append({"edited": found.picture is not None, **_figures(found)})
    without = sum(not row["edited"] for row in frames)
    doubtful = sum(bool(row["warnings"]) for row in frames)
    summary = f"{len(frames)} frames, {without} of them without the sticker"
    warnings = [f"{doubtful} of {len(frames)} frames; see {REPORT}"] if doubtful else []
    return {"target": str(path), "file": str(file), "summary": summary, "warnings": warnings, "frames": frames}


def _figures(found: Edit) -> dict[str, Any]:
    agreeing = int(found.alignment.inliers.sum())
    return {
        "matches": len(found.matches),
        "inliers": agreeing,
        "median_error": round(found.alignment.median_error, 4) if agreeing else None,
        "folded": round(found.folded, 4),
        "warnings": list(found.warnings),
    }
