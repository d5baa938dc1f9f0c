"""Every command in one application."""

from __future__ import annotations

from importlib import import_module

import typer

app = typer.Typer(
    help="Let a frozen image-diffusion model see: match points between photos, without training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for _name in (
    "match",
    "align",
    "edit",
    "transfer",
    "segment",
    "prompt",
    "track",
    "collect",
    "find",
    "models",
    "weights",
    "doctor",
    "bench",
    "report",
    "data",
    "world",
    "train_pocket",
    "demo",
    "app",
):
    import_module(f".{_name}", __package__).register(app)
