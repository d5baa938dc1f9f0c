"""``diffsight demo``: its jobs on photos that come with scikit-image, and on pictures of the procedural world."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

WORLD_KINDS = ("bird", "face", "car", "butterfly")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    photos: Annotated[list[Path] | None, typer.Argument(metavar="[A B]", help="Two photos of your own.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the pictures.")] = Path("demo"),
) -> None:
    """Match points and cut photos into parts with the bundled model, and print where the pictures are."""
    if photos and len(photos) != 2:
        raise InvalidInput(f"{len(photos)} photos given; the demo takes two, or none for its own")

    from PIL import Image

    from ..backbones.registry import load
    from ..draw import Panel, draw_panels, draw_segments, draw_sheet, panel_size, save_picture
    from ..images import load_picture
    from ..matching.matcher import Matcher
    from ..segmentation.segmenter import Segmenter
    from ..types import Picture
    from ..world import RESERVED, make_pair, make_scene

    backbone = load("pocket")
    matcher, segmenter = Matcher(backbone), Segmenter(backbone)

    def show(name: str, source: Picture, target: Picture, points: np.ndarray | None) -> None:
        prepared = matcher.source(source, points)
        matches = matcher.match(prepared, target)
        if len(matches) == 0:
            raise InvalidInput(f"no point of {source.name} matches {target.name} both ways; try two photos of one kind")
        panels = [
            Panel(source, matches.query, title="A"),
            Panel(target, matches.matched, faint=matches.one_way, title="found in B"),
        ]
        save_picture(draw_panels(panels), out / f"{name}.png")
        print(out / f"{name}.png", flush=True)

    def cut(name: str, picture: Picture) -> None:
        found = segmenter.segment(picture)
        images = [Image.fromarray(picture.array()).resize(panel_size(picture)), draw_segments(picture, found)]
        save_picture(draw_sheet(images, ["photo", f"{len(found)} segments"], side=480), out / f"{name}.png")
        print(out / f"{name}.png", flush=True)

    if photos:
        show("yours", load_picture(photos[0]), load_picture(photos[1]), None)
        cut("yours_segments", load_picture(photos[0]))
    else:
        left, right, portrait = _photos()
        show("motorcycle", load_picture(left), load_picture(right), None)
        cut("portrait_segments", load_picture(portrait))
    for i, kind in enumerate(WORLD_KINDS):
        pair = make_pair(RESERVED + 777_000 + i, 256, kind=kind)
        seen = pair.source.objects[0].visible & pair.target.objects[0].visible
        a, b = load_picture(pair.source.image), load_picture(pair.target.image)
        show(f"world_{kind}", a, b, pair.source.objects[0].keypoints[seen])
    cut("world_segments", load_picture(make_scene(RESERVED + 777_100, 256, count=2).image))


def _photos() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photos that scikit-image ships, which anyone may use: two views of a motorcycle, and a portrait."""
    try:
        from skimage import data
    except ImportError:
        raise InvalidInput(
            "the demo's photos come with scikit-image, which is not installed; "
            "pip install 'diffsight[demo]', or give two photos"
        ) from None
    left, right, _ = data.stereo_motorcycle()
    return left, right, data.astronaut()
