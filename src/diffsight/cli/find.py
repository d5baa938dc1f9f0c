"""``diffsight find``: one point in every photo of a collection."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidInput
from ..files import CONVENTION, atomic, check_writable, save_json
from .collect import Into, opener_of, refuse_other_model
from .inputs import parse_point
from .options import Device
from .tables import print_table

COLUMNS = ("rank", "name", "path", "x", "y", "cosine")

SHEET = 59
"""Photos on the contact sheet at most, beside the one asked for."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("find")(find)


def find(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The photo with the point; any, in it or not.")],
    point: Annotated[str, typer.Option(metavar="X,Y", help="The point, in pixels of PHOTO.")],
    collection: Into,
    top: Annotated[int, typer.Option(help="How many photos to give, best first.")] = 20,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")] = Path("found"),
    model: Annotated[str | None, typer.Option(help="Refuse a collection built with another model than this.")] = None,
    device: Device = None,
) -> None:
    """Find the same point in every photo of a collection, ranked.

    PHOTO is read with the model and settings of the collection. Writes find.csv, find.json and a contact sheet,
    find.png. Photos are ranked by the cosine of the features as the collection keeps them.
    """
    import numpy as np

    from ..collection.search import search
    from ..collection.sheet import draw_found
    from ..collection.store import Collection
    from ..draw import save_picture
    from ..images import load_picture

    asked = parse_point(point)
    if top < 1:
        raise InvalidInput(f"--top {top} is too few; use 1 or more")
    kept = Collection(collection)
    if model is not None:
        refuse_other_model(kept.manifest, collection, model)
    picture = load_picture(photo)
    check_writable(out)
    reader = opener_of(kept.manifest, device)()
    kept.manifest.check(reader, collection)
    points = reader.fit(picture).check_points(np.array([asked]), "--point")
    vector = kept.describe(reader.read([picture])[0], points)[0]
    rows: list[dict[str, Any]] = []
    found = search(kept, vector, top)
    for rank, one in enumerate(found, start=1):
        x, y = one.point
        own = {"rank": rank, "name": one.entry.name, "path": one.entry.path, "x": x, "y": y}
        rows.append({**own, "cosine": round(one.cosine, 5)})
    with atomic(out / "find.csv") as part, part.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    save_picture(draw_found(picture, asked, found[:SHEET]), out / "find.png")
    facts = {"photo": str(photo), "point": asked, "collection": str(collection), "model": kept.manifest.model}
    save_json({"convention": CONVENTION, **facts, "searched": len(kept), "found": rows}, out / "find.json")
    print_table(
        ("photo", "found at", "cosine"),
        [(row["name"], f"{row['x']:.1f}, {row['y']:.1f}", f"{row['cosine']:.3f}") for row in rows],
    )
    print(out / "find.png")
