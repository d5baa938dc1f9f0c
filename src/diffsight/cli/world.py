"""``diffsight world``: benchmarks of procedural pictures, to try the whole way from a folder to figures."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Annotated

import typer

from ..errors import InvalidInput, OutputFailed
from ..files import check_writable

world = typer.Typer(no_args_is_help=True)

MOST = 1_000
"""Samples of a category that are sure to have seeds of their own."""


@world.callback()
def _group() -> None:
    """Draw procedural pictures with exact truth."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(world, name="world")


@world.command("make")
def make(
    name: Annotated[str, typer.Argument(help="A benchmark from `diffsight data list`, whose layout is written.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A folder that is empty or not there yet.")],
    seed: Annotated[
        int | None, typer.Option(help="Equal seeds give equal trees; kept apart from training if left out.")
    ] = None,
    count: Annotated[int, typer.Option(help="Samples of each category, about.")] = 2,
) -> None:
    """Write a small tree of procedural pictures in a benchmark's exact layout, whole or not at all."""
    from ..datasets import benchmark
    from ..world import RESERVED

    own = benchmark(name)
    seed = RESERVED if seed is None else seed
    if seed < 0 or not 1 <= count <= MOST:
        raise InvalidInput(f"--seed {seed} --count {count} does not suit; use 0 or more, and 1 to {MOST:,}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputFailed(f"{out} is {'not empty' if out.is_dir() else 'a file'}; choose another folder")
    whole = out.resolve()
    check_writable(whole.parent)
    part = whole.with_name(f".{whole.name}.{secrets.token_hex(4)}.part")
    try:
        with _progress(part):
            own.write_world(part, seed, count)
        part.replace(whole)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"{out} is laid out as {own.title}; look at it: diffsight data check {own.name} --root {out}")


@contextmanager
def _progress(folder: Path) -> Iterator[None]:
    """Show how many files a folder has, if that takes more than a few seconds."""
    from tqdm import tqdm

    done = Event()

    def watch() -> None:
        with tqdm(desc="writing files", unit="file", delay=3, leave=False) as bar:
            while not done.wait(1):
                bar.update(sum(path.is_file() for path in folder.rglob("*")) - bar.n)

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
