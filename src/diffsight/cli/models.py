"""``diffsight models``: what can be loaded."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidInput
from .tables import print_table

if TYPE_CHECKING:
    from ..backbones.base import Card, ReadSettings, Task


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("models")(models)


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON, with the settings of every task.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/models.md.")] = False,
) -> None:
    """List the models known by name: whether each is here, its size, licence and what it is good for."""
    from ..backbones.cards import CARDS
    from ..backbones.registry import is_here
    from ..readers import RECIPES

    if as_json and as_markdown:
        raise InvalidInput("both --json and --markdown are given; use one of them")
    if as_json:
        print(json.dumps([asdict(card) | {"here": is_here(card)} for card in CARDS.values()], indent=2))
        return
    if as_markdown:
        print(page(list(CARDS.values())), end="")
        return
    rows = [
        (card.name, "yes" if is_here(card) else "no", f"{card.parameters * 4 / 1000:.1f} GB", card.licence, card.about)
        for card in CARDS.values()
    ]
    print_table(("name", "here", "size", "licence", "good for"), rows)
    joined = [
        (name, "yes" if all(is_here(CARDS[own]) for own in recipe.models) else "no", recipe.about)
        for name, recipe in RECIPES.items()
    ]
    print_table(("several maps joined", "here", "what"), joined)
    print("Size is that of the weights in float32. Settings of the tasks: docs/models.md, or --json.")


def describe(settings: ReadSettings) -> str:
    """Settings of a task in a few words."""
    height, width = settings.size
    draws = "one draw" if settings.ensemble == 1 else f"{settings.ensemble} draws"
    noise = f"t {settings.timestep}, {draws if settings.noise else 'no noise'}"
    is_plain = not settings.noise and settings.timestep == 0  # the network knows neither
    return f"{width}x{height} px, {settings.stage}, {'one pass' if is_plain else noise}"


def page(cards: list[Card]) -> str:
    """The page of all models, as Markdown."""
    from ..backbones.weights import NETWORKS
    from ..readers import CHOICES, RECIPES

    lines = [
        "# Models",
        "",
        "Made by `diffsight models --markdown`. `diffsight models` says which are here, `diffsight weights where NAME`",
        "why; [Weights](weights.md) tells how to bring your own. Size is that of the weights in float32, half of it in",
        "half precision; memory is what one pass at the semantic settings adds to it, one draw, in float32 on a CPU,",
        "where it was measured (random weights serve). Figures are those reached with this package: networks whose",
        "weights could not be had where it was built have none.",
        "",
        "| name | network | good for | licence | size | memory | figure |",
        "|---|---|---|---|---|---|---|",
    ]
    for card in cards:
        size = f"{card.parameters * 4 / 1000:.2f} GB"
        cells = [f"`{card.name}`", card.source, card.about, card.licence, size, card.memory, card.figure]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Where the weights come from", "", "| name | variable | places, in order |", "|---|---|---|"]
    for card in cards:
        network = NETWORKS[card.name]
        places = ", ".join(f"`{place}`" for place in network.places) or "in the package"
        lines.append(f"| `{card.name}` | `{network.variable}` | {places} |")
    lines += ["", "## Settings of the tasks", "", "`--size`, `--stage`, `--timestep` and `--ensemble` change them."]
    lines += ["", "| name | semantic | geometric | temporal | segmentation |", "|---|---|---|---|---|"]
    tasks: tuple[Task, ...] = ("semantic", "geometric", "temporal", "segmentation")
    for card in cards:
        rows = [describe(card.tasks[task]) if task in card.tasks else "-" for task in tasks]
        lines.append(f"| {' | '.join([f'`{card.name}`', *rows])} |")
    lines += [
        "",
        "## Several maps joined",
        "",
        "`diffsight match`, `transfer`, `find` and `bench transfer` take these as models.",
    ]
    lines += ["", "| name | what | of | serves |", "|---|---|---|---|"]
    for name, recipe in RECIPES.items():
        lines.append(f"| `{name}` | {recipe.about} | {', '.join(recipe.models)} | {', '.join(recipe.tasks)} |")
    for name, choices in CHOICES.items():
        lines.append(f"| `{name}` | the first of these whose weights are here, or the last | {', '.join(choices)} | |")
    return "\n".join(lines) + "\n"
