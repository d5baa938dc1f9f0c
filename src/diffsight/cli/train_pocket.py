"""``diffsight train-pocket``: how the bundled model is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InvalidInput
from .options import Device


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train-pocket")(train_pocket)


def train_pocket(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Holds the checkpoint, log, samples and the finished model.")
    ],
    photos: Annotated[
        list[Path] | None,
        typer.Option(help="Folder or tar of photos with a captions.json to mix in; repeat for more."),
    ] = None,
    pictures: Annotated[int | None, typer.Option(help="Pictures to train on; the recipe's number if left out.")] = None,
    start: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="Start from these weights, such as another run's DIR/export.")
    ] = None,
    first_picture: Annotated[
        int | None, typer.Option(help="Seed of the first world picture: where the weights started from ended.")
    ] = None,
    stop_after: Annotated[
        int | None, typer.Option(help="End this run after so many steps; the next one goes on.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="On a CPU, processes that share each batch; one a core is quickest.")
    ] = 1,
    device: Device = None,
) -> None:
    """Train the bundled model, or go on where the folder's checkpoint stands.

    The finished model is DIR/export, a folder that --model takes.
    """
    from ..device import pick_device
    from ..training.data import Photos
    from ..training.recipe import Recipe
    from ..training.train import train

    recipe = Recipe()
    if pictures is not None:
        last = recipe.stages[-1]
        if pictures < last.batch:
            raise InvalidInput(f"--pictures {pictures} is less than one batch; use {last.batch} or more")
        share = pictures / sum(stage.pictures for stage in recipe.stages)
        before = [replace(stage, pictures=int(share * stage.pictures)) for stage in recipe.stages[:-1]]
        rest = pictures - sum(stage.pictures for stage in before)
        recipe = replace(recipe, stages=(*before, replace(last, pictures=rest)))
    if first_picture is not None:
        recipe = replace(recipe, first_picture=first_picture)
    if stop_after is not None and stop_after < 1:
        raise InvalidInput(f"--stop-after {stop_after} is too few; use 1 or more")
    pack, where = Photos.read(*photos or []), str(pick_device(device))
    print(train(out, recipe, pack, start=start, device=where, stop_after=stop_after, processes=processes))
