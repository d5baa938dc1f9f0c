"""``diffsight app``: the web page."""

from __future__ import annotations

from typing import Annotated

import typer

DEFAULTS = ("pocket", "pocket+")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("app")(serve)


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model for visitors to use; repeat for a choice.", show_default="pocket, pocket+"),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Its port.", show_default="a free one from 7860 on")
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help="Also give a public address, through Gradio's relay; anyone may use it.")
    ] = False,
) -> None:
    """Open a web page on this machine: click a point of one photo, see it in another."""
    from ..app import server

    server.serve(model or DEFAULTS, host, port, share)
