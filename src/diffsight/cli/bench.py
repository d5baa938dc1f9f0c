"""``diffsight bench``: figures that anyone can regenerate."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidInput

if TYPE_CHECKING:
    from ..benchmarks.metrics import PairErrors

bench = typer.Typer(help="Print figures that anyone can regenerate.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(bench, name="bench")


@bench.callback()
def _group() -> None:
    """Keep ``bench`` a group while it has one command."""


@bench.command("world")
def world(
    model: Annotated[str, typer.Option(help="A name from `diffsight models`, a folder, or a hub id.")] = "pocket",
    pairs: Annotated[int, typer.Option(help="Pairs of each category.")] = 20,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures here.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N or mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16.")] = None,
) -> None:
    """Semantic matching on reserved pictures of the procedural world: the model, the same model untrained, raw pixels.

    PCK: a point counts if it lies within alpha times the longer side of the target object's visible box. Points are
    those visible in both pictures.
    """
    if pairs < 1:
        raise InvalidInput(f"--pairs {pairs} is too few; use 1 or more")
    if json_file is not None and json_file.is_dir():
        raise InvalidInput(f"--json {json_file} is a folder; give a file")

    from ..backbones.registry import load, task_settings
    from ..benchmarks.baselines import RawPixels
    from ..benchmarks.metrics import ALPHAS, pck
    from ..benchmarks.world import run_pairs, world_pairs

    backbone = load(model, device=device, dtype=dtype)
    settings = task_settings(backbone.card, "semantic")
    raw = RawPixels(settings.size, backbone.multiple)
    drawn = world_pairs(pairs)
    results = {
        "raw pixels": run_pairs(raw, raw.card.tasks["semantic"], drawn),
        f"untrained {model}": run_pairs(backbone.untrained(), settings, drawn),
        model: run_pairs(backbone, settings, drawn),
    }
    report = {name: [asdict(pck(found, alpha)) for alpha in ALPHAS] for name, found in results.items()}
    by_category = {name: _by_category(found) for name, found in results.items()}
    _print(report, by_category)
    mean = {name: rows[1]["per_point"] for name, rows in report.items()}
    print(
        f"PCK@0.1 per point: {mean[model]:.1f} = {mean[model] / mean['raw pixels']:.1f} x raw pixels "
        f"= {mean[model] / mean[f'untrained {model}']:.1f} x untrained"
    )
    if json_file is not None:
        from ..files import atomic

        facts = {
            "pairs_per_category": pairs,
            "settings": asdict(settings),
            "pck": report,
            "pck_0.1_by_category": by_category,
        }
        with atomic(json_file) as part:
            part.write_text(json.dumps(facts, indent=2) + "\n")


def _by_category(found: list[PairErrors]) -> dict[str, float]:
    from ..benchmarks.metrics import pck

    names = dict.fromkeys(result.category for result in found)
    return {name: round(pck([r for r in found if r.category == name], 0.1).per_point, 2) for name in names}


def _print(report: dict[str, list[dict[str, Any]]], by_category: dict[str, dict[str, float]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    first = next(iter(report.values()))
    header = [f"@{row['alpha']:g} {kind}" for row in first for kind in ("point", "image")]
    table = Table("", *header, title=f"PCK, bbox, {first[0]['points']} points, {first[0]['pairs']} pairs")
    for name, rows in report.items():
        table.add_row(name, *(f"{row[kind]:.1f}" for row in rows for kind in ("per_point", "per_image")))
    console.print(table)
    table = Table("PCK@0.1 per point", *by_category)
    for category in next(iter(by_category.values())):
        table.add_row(category, *(f"{figures[category]:.1f}" for figures in by_category.values()))
    console.print(table)
