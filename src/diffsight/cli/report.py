"""``diffsight report``: runs beside published figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of scored runs.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for report.html and report.md.")] = Path("report"),
) -> None:
    """Set runs beside published figures: markdown, and one HTML page with plots and pictures.

    Published figures are copied from their sources; only the rows marked so were measured here.
    """
    from ..benchmarks.report import write_report

    for path in write_report(runs, out):
        print(path)
