"""``diffsight edit``: a sticker drawn on one photo, put where it belongs in others."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DiffsightError, InvalidInput
from ..files import check_writable
from .inputs import collect, file_digest, refuse_other_run
from .options import Device, Dtype, Ensemble, Model, Prompt, Seed, Side, Stage, Store, Timestep

if TYPE_CHECKING:
    from ..editing import Edit, Editor, EditSettings, EditSource

REPORT = "edit.json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("edit")(edit)


def edit(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The photo that the sticker was drawn on.")],
    sticker: Annotated[
        Path, typer.Argument(metavar="STICKER", help="A picture of the same size, transparent around the drawing.")
    ],
    targets: Annotated[list[Path], typer.Argument(metavar="TARGET ...", help="Photos, or folders of photos.")],
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
    """Put a sticker, drawn on a photo, where it belongs in other photos.

    Writes NAME_edit.png and NAME_matches.png (green: used) for each target, and edit.json. Says where the result should
    not be trusted, and why.
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
    for stem, path in tqdm(jobs.items(), desc="editing", unit="photo", disable=len(jobs) == 1):
        try:
            rows.append(_one(stem, path, editor, drawn_on, out))
        except DiffsightError as error:
            if len(jobs) == 1:
                raise
            failed.append(str(error))
    facts = {
        "source": str(source),
        "sticker": str(sticker),
        "digests": digests,
        "model": editor.matcher.backbone.card.name,
        "reading": asdict(editor.matcher.settings),
        "settings": asdict(settings),
        "edits": rows,
        "skipped": failed,
    }
    _save(out / REPORT, facts)
    for row in rows:
        print(f"{row['file']}: {row['inliers']} of {row['matches']} matches agree, {row['folded']:.0%} folded over")
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


def _one(stem: str, path: Path, editor: Editor, source: EditSource, out: Path) -> dict[str, Any]:
    """Edit one target, and write its pictures."""
    from PIL import Image

    from ..draw import save_picture
    from ..draw_alignment import draw_inliers
    from ..images import load_picture

    target = load_picture(path)
    found: Edit = editor.paste(source, target)
    if found.picture is None:
        raise DiffsightError(f"the sticker finds no place in {path}: {found.warnings[0]}")
    save_picture(draw_inliers(source.picture, target, found.matches, found.alignment), out / f"{stem}_matches.png")
    save_picture(Image.fromarray(found.picture.array()), out / f"{stem}_edit.png")
    return {
        "target": str(path),
        "file": str(out / f"{stem}_edit.png"),
        "matches": len(found.matches),
        "inliers": int(found.alignment.inliers.sum()),
        "median_error": round(found.alignment.median_error, 4),
        "folded": round(found.folded, 4),
        "warnings": list(found.warnings),
    }


def _save(path: Path, facts: dict[str, Any]) -> None:
    from ..files import atomic

    with atomic(path) as part:
        part.write_text(json.dumps(facts, indent=2) + "\n")
