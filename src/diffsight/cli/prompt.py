"""``diffsight prompt``: learn an embedding for points of a photo, find it in others."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidInput, UnreadableFile
from ..files import CONVENTION, check_writable, file_digest, save_json
from .inputs import collect, parse_box, parse_point, read_points
from .options import Device, Dtype, Model, Seed

if TYPE_CHECKING:
    import numpy as np

    from ..backbones.base import Backbone
    from ..matching.prompt import PromptEmbeddings
    from ..types import Picture


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Learn a point once, find it everywhere (prompt matching).")
    group.command("learn")(learn)
    group.command("find")(find)
    group.command("import")(import_released)
    app.add_typer(group, name="prompt")


def learn(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The photo with the points.")],
    out: Annotated[Path, typer.Option(metavar="FILE.safetensors", help="Where the embeddings go.")],
    point: Annotated[list[str] | None, typer.Option(metavar="X,Y", help="A point in pixels; repeat for more.")] = None,
    points: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Points as CSV with columns x and y.")] = None,
    box: Annotated[
        str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="Learn this box as a whole instead of a point.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Learn what is white in this picture of the photo's size.")
    ] = None,
    model: Model = "pocket",
    preset: Annotated[str, typer.Option(help="default (the paper's description) or hedlin (its code).")] = "default",
    mode: Annotated[
        str | None, typer.Option(help="exact, or frozen_queries: an approximation, far cheaper, less accurate.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Embeddings a point.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of Adam.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; repeat for more.")
    ] = None,
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Learn an embedding for each point of a photo, and draw what its attention looks like.

    The file is written anew after each finished point; a run that was stopped goes on where it stood.
    """
    if sum(bool(given) for given in (point, points, box, mask)) != 1:
        raise InvalidInput("say what to learn by one of --point, --points, --box and --mask")
    _check_out(out)

    from ..backbones.registry import load
    from ..images import load_picture
    from ..matching import prompt

    picture = load_picture(photo)
    region = None if not (box or mask) else _region(picture, box, mask)
    if region is not None:
        asked = [_middle(region)]
    else:
        asked = read_points(points) if points else [parse_point(text) for text in point or []]
    backbone = load(model, device=device, dtype=dtype)
    direct = {"mode": mode, "rounds": rounds, "steps": steps, "seed": seed}
    settings = prompt.settings_for(backbone.card, preset)
    texts = [f"{name}={value}" for name, value in direct.items() if value is not None]
    settings = prompt.change(settings, [*texts, *(change or [])])
    known = prompt.PromptEmbeddings.load(out) if out.exists() else None
    if known is not None and not {tuple(p) for p in known.points.tolist()} <= set(asked):
        raise InvalidInput(
            f"{out} holds embeddings of other points, which would be lost; give another --out, name its points too, or "
            "delete it"
        )
    learnt = None
    for learnt in prompt.optimise(backbone, picture, asked, settings, region=region, known=known):
        learnt.save(out)
    assert learnt is not None  # there is a point, so there is a result
    drawn = _draw_learnt(backbone, picture, learnt, region, out.with_suffix(".png"))
    for place, loss in zip(learnt.points.tolist(), learnt.losses.mean(dim=1).tolist(), strict=True):
        print(f"{place[0]:g}, {place[1]:g}: loss {loss:.5f}")
    if settings.mode != "exact":
        print("approximate: frozen queries are not the paper's method")
    print(out)
    print(drawn)


def find(
    embeddings: Annotated[Path, typer.Argument(metavar="FILE.safetensors", help="From `diffsight prompt learn`.")],
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO|FOLDER ...", help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")] = Path("found"),
    model: Model = "pocket",
    heat: Annotated[bool, typer.Option("--heat", help="Also draw a heat map for each point and photo.")] = False,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the reading, such as crops=8; repeat for more."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Read embeddings of another network or number format all the same.")
    ] = False,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Find learnt points in other photos: costs only the reading.

    Writes NAME_found.png and NAME_found.json for each photo: the points, their scores and how far the rounds disagree;
    and found.json with all of them. A run that was stopped goes on where it stood.
    """
    from tqdm import tqdm

    from ..backbones.registry import load
    from ..draw import Panel, draw_heat, draw_panels, save_picture
    from ..images import load_picture
    from ..matching import prompt

    jobs = collect(photos, out)
    check_writable(out)
    learnt = prompt.PromptEmbeddings.load(embeddings)
    settings = prompt.change(learnt.settings, change or [])
    backbone = load(model, device=device, dtype=dtype)
    facts = {
        "model": backbone.card.name,
        "fingerprint": backbone.fingerprint,
        "embeddings": str(embeddings),
        "embeddings_digest": file_digest(embeddings),
        "settings": asdict(settings),
        "approximate": "frozen_queries" in (learnt.settings.mode, settings.mode),
        "convention": CONVENTION,
    }
    rows, failed = [], []
    for stem, path in tqdm(jobs.items(), desc="finding", unit="photo", disable=len(jobs) == 1):
        own = json.loads(json.dumps({**facts, "photo": str(path), "photo_digest": file_digest(path), "heat": heat}))
        earlier = _earlier(out / f"{stem}_found.json", own)
        if earlier is not None:
            rows += earlier
            continue
        try:
            picture = load_picture(path)
        except UnreadableFile as error:
            if len(jobs) == 1:
                raise
            failed.append(str(error))
            continue
        found = prompt.locate(backbone, learnt, picture, settings, force=force)
        save_picture(draw_panels([Panel(picture, found.matches.matched)]), out / f"{stem}_found.png")
        for i in range(len(found.matches) if heat else 0):
            image = draw_heat(picture, found.maps[i].numpy(), found.matches.matched[i])
            save_picture(image, out / f"{stem}_heat_{i + 1:02d}.png")
        new = [
            {
                "photo": str(path),
                "point": i + 1,
                "x": x,
                "y": y,
                "score": round(float(found.matches.score[i]), 5),
                "spread": round(float(found.spread[i]), 3),
            }
            for i, (x, y) in enumerate(found.matches.matched.tolist())
        ]
        save_json({**own, "found": new}, out / f"{stem}_found.json")
        rows += new
    save_json({**facts, "found": rows}, out / "found.json")
    for row in rows:
        print(f"{row['photo']}: point {row['point']} at {row['x']:.1f}, {row['y']:.1f}, score {row['score']:.3f}")
    print(out / "found.json")
    for line in failed:
        print(f"skipped: {line}")
    if failed:
        raise typer.Exit(1)


def _earlier(path: Path, facts: dict[str, Any]) -> list[dict[str, Any]] | None:
    """What an earlier run of the same facts found in a photo; its JSON is written last."""
    try:
        known = json.loads(path.read_text())
        found = known.pop("found")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    drawn = path.with_suffix(".png").exists()
    return found if drawn and known == facts else None


def import_released(
    released: Annotated[
        Path, typer.Argument(metavar="FILE.pt", help="correspondence_data_XXX.pt of the paper's code.")
    ],
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The photo that its embeddings were learnt on.")],
    out: Annotated[Path, typer.Option(metavar="FILE.safetensors", help="Where the embeddings go.")],
    model: Model = "sd-1.4",
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Take over embeddings that the paper's released code has learnt, for `diffsight prompt find`."""
    _check_out(out)

    from ..backbones.registry import load
    from ..images import load_picture
    from ..matching.prompt import read_released

    picture = load_picture(photo)
    learnt = read_released(released, load(model, device=device, dtype=dtype), picture)
    learnt.save(out)
    print(f"{len(learnt)} points, {learnt.vectors.shape[1]} embeddings each")
    print(out)


def _check_out(out: Path) -> None:
    check_writable(out.parent)
    if out.suffix != ".safetensors":
        raise InvalidInput(f"--out {out} does not suit; give a file name ending in .safetensors")


def _region(picture: Picture, box: str | None, mask: Path | None) -> np.ndarray:
    """The (H, W) mask that a box or a picture describes."""
    import numpy as np

    from ..images import load_picture

    height, width = picture.size
    if mask is not None:
        region: np.ndarray = load_picture(mask).array().mean(axis=2) > 127
        if region.shape != picture.size or not region.any():
            raise InvalidInput(f"--mask {mask} is {region.shape[::-1]}; it must have the photo's size and some white")
        return region
    x0, y0, x1, y1 = parse_box(box or "")
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise InvalidInput(f"--box {box!r} does not lie in the photo; x must rise within 0 to {width}, y to {height}")
    y, x = np.mgrid[0:height, 0:width] + 0.5
    inside: np.ndarray = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    return inside


def _middle(region: np.ndarray) -> tuple[float, float]:
    import numpy as np

    y, x = np.nonzero(region)
    return float(x.mean() + 0.5), float(y.mean() + 0.5)


DRAWN = 6
"""Points whose attention is drawn."""


def _draw_learnt(
    backbone: Backbone, picture: Picture, learnt: PromptEmbeddings, region: np.ndarray | None, path: Path
) -> Path:
    """A row for each point: what its attention shall be and, layer by layer, what it was before and is after."""
    from ..draw import draw_heat, draw_sheet, save_picture
    from ..matching import prompt

    learnt = learnt[:DRAWN]
    layers = prompt.layer_maps(backbone, learnt, picture)
    targets = prompt.target_maps(learnt, picture).numpy()
    images, titles = [], []
    for i, place in enumerate(learnt.points):
        images.append(draw_heat(picture, targets[i] if region is None else region, place))
        titles.append(f"point {i + 1}, wanted")
        for layer, own in layers.items():
            images += [draw_heat(picture, own[i, turn].numpy(), place) for turn in (0, 1)]
            titles += [f"{layer}, before", f"{layer}, after"]
    save_picture(draw_sheet(images, titles, columns=1 + 2 * len(layers)), path)
    return path
