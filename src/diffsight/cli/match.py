"""``diffsight match``: points of one photo in others."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..changes import parse_changes
from ..errors import InvalidInput
from ..files import CONVENTION, check_writable, save_json
from ..matching.rows import COLUMNS, match_row
from .inputs import Points, parse_point, read_points
from .options import Change, Debias, Device, Dtype, Ensemble, Fitting, Prompt, Seed, Side, Stage, Store, Timestep

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ..backbones.base import Backbone
    from ..grid import Size
    from ..matching.matcher import Matcher
    from ..types import Matches, Picture, Reading


BASELINES = {
    "dino+nn": ("dino-b8", "dift"),
    "openclip+nn": ("openclip-h14", "dift"),
    "vgg+mls": ("vgg-19", "mls"),
    "dino+mls": ("dino-b8", "mls"),
}
"""The baselines of the papers' tables: which model, and by which method its features are used."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("match")(match)


@dataclass(frozen=True)
class _Found:
    """The matches of one target, and the name its files carry.

    Attributes:
        name: of its files.
        picture: the target.
        matches: one for each point.
        best: the best places of each point.
        heat: the score map of a point, made for a drawing of a size.
    """

    name: str
    picture: Picture
    matches: Matches
    best: list[Matches]
    heat: Callable[[int, Size], np.ndarray]


def match(
    photos: Annotated[
        list[Path], typer.Argument(metavar="A B [C ...]", help="The photo with the points, then the photos to search.")
    ],
    point: Annotated[
        list[str] | None, typer.Option(metavar="X,Y", help="A point of A in pixels; repeat for more.")
    ] = None,
    points: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Points of A as CSV with columns x and y.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A name from `diffsight models`, a folder, or a hub id.", show_default="pocket"),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="dift compares features; mls moves points with best buddies; prompt learns embeddings (slow). Or a "
            "baseline of the papers with its model: dino+nn, openclip+nn, vgg+mls, dino+mls."
        ),
    ] = "dift",
    task: Annotated[
        str, typer.Option(help="semantic, geometric or temporal: chooses the model's settings.")
    ] = "semantic",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")] = Path("matches"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    heat: Annotated[bool, typer.Option("--heat", help="Also draw a heat map for each point and photo.")] = False,
    top: Annotated[int, typer.Option(help="Also list the best TOP places for each point.")] = 1,
    preset: Annotated[
        str,
        typer.Option(help="dift: plain, nearest neighbours; best, points keep their arrangement."),
    ] = "plain",
    flip: Annotated[bool, typer.Option("--flip", help="dift: also try A mirrored, left and right exchanged.")] = False,
    change: Change = None,
    debias: Debias = 0,
    abstain_below: Annotated[float, typer.Option(help="dift: leave out matches less sure than this, 0 to 1.")] = 0.0,
    prompt: Prompt = None,
    size: Side = None,
    fit: Fitting = None,
    stage: Stage = None,
    timestep: Timestep = None,
    ensemble: Ensemble = None,
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = None,
    store: Store = None,
) -> None:
    """Find points of photo A in photo B (and C ...).

    Without points, up to 12 well-spread ones that match both ways are chosen. Coordinates are pixels of the photos as
    they are shown (upright), x to the right, y down; the centre of the first pixel is (0.5, 0.5).
    """
    if len(photos) < 2:
        raise InvalidInput(
            f"{len(photos)} photo given; match needs two or more: the one with the points, then where to look"
        )
    if point and points:
        raise InvalidInput("both --point and --points are given; use one of them")
    if top < 1:
        raise InvalidInput(f"--top {top} is too few; use 1 or more")
    own_model, way = BASELINES.get(method.lower(), ("pocket", method))
    if way not in ("dift", "mls", "prompt"):
        raise InvalidInput(f"unknown method {method!r}; use dift, mls, prompt, {', '.join(BASELINES)}")
    if way != "dift" and (preset != "plain" or flip or change or abstain_below or debias):
        raise InvalidInput(
            f"--preset, --flip, --set, --debias and --abstain-below do not suit --method {method}; leave them out"
        )
    if not 0 <= abstain_below <= 1:
        raise InvalidInput(f"--abstain-below {abstain_below} does not suit; use 0 to 1")
    if way == "mls" and (heat or top > 1):
        raise InvalidInput(f"--heat and --top do not suit --method {method}; leave them out")
    asked = read_points(points) if points else [parse_point(text) for text in point or []] or None
    if out.exists() and not out.is_dir():
        raise InvalidInput(f"--out {out} is a file; give a folder")
    check_writable(out)

    from ..backbones.registry import load
    from ..images import load_picture
    from ..matching.matcher import Matcher

    pictures = [load_picture(path) for path in photos]
    changes: dict[str, Any] = {
        "prompt": prompt,
        "size": None if size is None else (size, size),
        "fit": fit,
        "stage": stage,
        "timestep": timestep,
        "ensemble": ensemble,
    }
    name = model or own_model
    if way != "prompt":
        given = {key: value for key, value in changes.items() if value is not None}
        places: dict[str, Any] = {"device": device, "dtype": dtype, "store": store}
        matcher = Matcher(name, task=task, refine=preset, flip=flip, **places, seed=seed, debias=debias, **given)
        matcher.how = replace(matcher.how, **parse_changes(matcher.how, change or []))
        found = _by_features(matcher, pictures, asked, top, way == "mls", abstain_below)
        name = matcher.reader.name
    else:
        backbone = load(name, device=device, dtype=dtype)
        for option, value in {**changes, "store": store, "top": top if top > 1 else None}.items():
            if value is not None and option != "size":
                raise InvalidInput(f"--{option} does not suit --method prompt; use `diffsight prompt` for its settings")
        found, name = _by_prompt(backbone, pictures, asked, size, seed), backbone.card.name
    rows = [row for item in found for row in _rows(item)]
    _write(out, pictures[0], found, rows, heat)
    report = {
        "source": str(photos[0]),
        "model": name,
        "method": method,
        "task": task if way != "prompt" else None,
        "convention": CONVENTION,
        "matches": rows,
    }
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        _print_table(rows, out, found)


def _by_features(
    matcher: Matcher, pictures: list[Picture], asked: Points | None, top: int, mls: bool, abstain_below: float
) -> list[_Found]:
    from ..matching.mls import transfer

    source = matcher.source(pictures[0], asked)
    found = []
    for name, picture in zip(_names(pictures[1:]), pictures[1:], strict=True):
        reading = matcher.read(picture)[1]
        if mls:
            matches = transfer(source.reading, reading, matcher.points_for(source, reading))
        else:
            matches = matcher.match(source, reading)
            if abstain_below and matches.confidence is not None:
                matches = matches[matches.confidence >= abstain_below]
        if len(matches) == 0 and not abstain_below:
            raise InvalidInput(
                f"no point of {pictures[0].path} matches {picture.path} both ways; name points with --point X,Y"
            )
        best = [matches[i : i + 1] for i in range(len(matches))]
        if top > 1:
            best = matcher.match_top(source, reading, matches.query, top)

        def heat(i: int, size: Size, reading: Reading = reading, matches: Matches = matches) -> np.ndarray:
            scores: np.ndarray = matcher.scores(source, reading, matches.query[i : i + 1], size)[0].numpy()
            return scores

        found.append(_Found(name, picture, matches, best, heat))
    return found


def _by_prompt(
    backbone: Backbone, pictures: list[Picture], asked: Points | None, size: int | None, seed: int
) -> list[_Found]:
    from ..matching.prompt import locate, optimise, settings_for

    if asked is None:
        raise InvalidInput("--method prompt learns given points; name them with --point X,Y or --points FILE.csv")
    settings = settings_for(backbone.card, size=size, seed=seed)
    *_, learnt = optimise(backbone, pictures[0], asked, settings)
    found = []
    for name, picture in zip(_names(pictures[1:]), pictures[1:], strict=True):
        located = locate(backbone, learnt, picture)
        matches = located.matches

        def heat(i: int, size: Size, maps: Tensor = located.maps) -> np.ndarray:
            scores: np.ndarray = maps[i].numpy()
            return scores

        found.append(_Found(name, picture, matches, [matches[i : i + 1] for i in range(len(matches))], heat))
    return found


def _names(pictures: list[Picture]) -> list[str]:
    """A different file name stem for each target."""
    names: list[str] = []
    for path in (Path(picture.name) for picture in pictures):
        candidates = (path.stem if n == 1 else f"{path.stem}_{n}" for n in count(1))
        names.append(next(name for name in candidates if name not in names))
    return names


def _rows(item: _Found) -> list[dict[str, Any]]:
    return [
        match_row(str(item.picture.path), number, one, rank)
        for number, one in enumerate(item.best, start=1)
        for rank in range(1, len(one) + 1)
    ]


def _write(out: Path, source: Picture, found: list[_Found], rows: list[dict[str, Any]], heat: bool) -> None:
    from ..draw import Panel, draw_heat, draw_panels, panel_size, save_picture
    from ..files import atomic

    for name in ("matches.csv", "matches.json"):  # of another run; they must not stand beside this one's pictures
        with suppress(OSError):
            (out / name).unlink()
    for item in found:
        panels = [
            Panel(source, item.matches.query),
            Panel(item.picture, item.matches.matched, faint=item.matches.one_way),
        ]
        save_picture(draw_panels(panels), out / f"{item.name}_matches.png")
        if heat:
            width, height = panel_size(item.picture)
            for i in range(len(item.matches)):
                image = draw_heat(item.picture, item.heat(i, (height, width)), item.matches.matched[i])
                save_picture(image, out / f"{item.name}_heat_{i + 1:02d}.png")
    with atomic(out / "matches.csv") as part, part.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    save_json({"convention": CONVENTION, "matches": rows}, out / "matches.json")


def _print_table(rows: list[dict[str, Any]], out: Path, found: list[_Found]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("point", "in A", "in", "found at", "score", "sure", "both ways", box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(
            str(row["point"]),
            f"{row['x']:.1f}, {row['y']:.1f}",
            Path(row["target"]).name,
            f"{row['matched_x']:.1f}, {row['matched_y']:.1f}",
            f"{row['score']:.3f}",
            "-" if row["confidence"] is None else f"{row['confidence']:.2f}",
            {True: "yes", False: "no", None: "not asked"}[row["mutual"]],
        )
    Console().print(table)
    for item in found:
        print(out / f"{item.name}_matches.png")
    print(out / "matches.csv")
