"""Tables for a terminal: nothing of a cell is lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NARROWEST = 80
"""Columns of characters that a table may fill in any case; a narrower terminal wraps the lines itself."""


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below a header; the first cell of a row, its name, is broken only if it is very long."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    table = Table(box=box.SIMPLE_HEAD, show_header=any(header), show_edge=False)
    for title in header:
        table.add_column(title, overflow="fold")
    table.columns[0].min_width = min(24, max((len(row[0]) for row in rows), default=0))
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    console.width = max(NARROWEST, console.width)
    console.print(table)
