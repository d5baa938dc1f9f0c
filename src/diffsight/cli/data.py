"""``diffsight data``: which benchmarks can be read, and whether a folder holds one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UnreadableFile

data = typer.Typer(help="See which benchmarks can be read, and check their folders.", no_args_is_help=True)

SHOWN = 5
"""Missing or damaged files that are named."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(data, name="data")


@data.command("list")
def list_all() -> None:
    """List the benchmarks: what they hold, how many samples each split has, and where to get them."""
    from rich.console import Console
    from rich.table import Column, Table

    from ..datasets import BENCHMARKS

    table = Table(Column("name", no_wrap=True), "title", "kind", "samples", Column("source", overflow="fold"))
    for own in BENCHMARKS.values():
        counts = [f"{split} {own.counts[split]:,}" if split in own.counts else split for split in own.splits]
        table.add_row(own.name, own.title, own.kind, ", ".join(counts), own.source)
    Console().print(table)


@data.command("check")
def check(
    name: Annotated[str, typer.Argument(help="A name from `diffsight data list`.")],
    root: Annotated[Path, typer.Option(metavar="DIR", help="The benchmark's folder.")],
    split: Annotated[str | None, typer.Option(help="Which part; the usual one if left out.")] = None,
    is_opened: Annotated[bool, typer.Option("--open", help="Decode every photo and label file, too.")] = False,
) -> None:
    """Count the samples in a benchmark's folder, look for every file, and say what is missing and where to get it.

    The digest is of the list of samples: two machines that print the same one score the same samples.
    """
    from ..datasets import benchmark
    from ..datasets.check import check as look

    own = benchmark(name)
    split = own.splits[0] if split is None else split
    found = look(own, root, split, is_opened=is_opened)
    known = "" if found.known is None else f" (the real data has {found.known:,})"
    print(f"{own.title}, split {split}: {found.samples:,} samples{known}")
    print(f"files: {found.files - len(found.missing):,} of {found.files:,} are there")
    print(f"list: sha256 {found.digest}")
    for line in found.damaged[:SHOWN]:
        print(line)
    if found.missing:
        names = ", ".join(str(path.relative_to(root)) for path in found.missing[:SHOWN])
        raise UnreadableFile(
            f"{len(found.missing):,} of {found.files:,} files are missing in {root}: {names}"
            + (" and so on" if len(found.missing) > SHOWN else "")
            + f"; get them from {own.source}"
        )
    if found.damaged:
        raise UnreadableFile(
            f"{len(found.damaged):,} of {found.files:,} files cannot be used; fetch them anew from {own.source}"
        )
