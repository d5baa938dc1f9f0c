"""``diffsight models``: what can be loaded."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("models")(models)


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON, with the settings of every task.")] = False,
) -> None:
    """List the models known by name: licence, size, task settings, and whether each is here."""
    from ..backbones.registry import CARDS, is_here

    if as_json:
        print(json.dumps([asdict(card) | {"here": is_here(card)} for card in CARDS.values()], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "here", "parameters", "licence", "semantic settings", "about")
    for card in CARDS.values():
        settings = card.tasks["semantic"]
        height, width = settings.size
        table.add_row(
            card.name,
            "yes" if is_here(card) else "no",
            f"{card.parameters:,.0f} M",
            card.licence,
            f"{width}x{height} px, {settings.stage}, t {settings.timestep}, {settings.ensemble} draws",
            card.about,
        )
    Console().print(table)
