"""``diffsight collect``: features of many photos, kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidInput
from ..files import check_writable
from .inputs import ENDINGS
from .options import Device, Dtype, Ensemble, Fitting, Prompt, Side, Stage, Timestep

if TYPE_CHECKING:
    from ..collection.store import Added, Collection
    from ..readers import ModelReader

collect = typer.Typer(no_args_is_help=True)

Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO|FOLDER ...", help="Photos, or folders of photos.")]
Into = Annotated[Path, typer.Option("--in", metavar="COLLECTION", help="The collection's folder.")]
Whole = Annotated[Path, typer.Argument(metavar="COLLECTION", help="The collection's folder.")]


@collect.callback()
def _group() -> None:
    """Keep features of many photos on disk, for `diffsight find`."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(collect, name="collect")


@collect.command("build")
def build(
    photos: Photos,
    collection: Into,
    model: Annotated[str, typer.Option(help="A name from `diffsight models`, a folder, or a hub id.")] = "pocket",
    task: Annotated[str, typer.Option(help="semantic, geometric or temporal: chooses the settings.")] = "semantic",
    dims: Annotated[int, typer.Option(help="Components that each feature is reduced to.")] = 30,
    numbers: Annotated[str, typer.Option(help="int8 or float16: how components are stored.")] = "int8",
    prompt: Prompt = None,
    size: Side = None,
    fit: Fitting = None,
    stage: Stage = None,
    timestep: Timestep = None,
    ensemble: Ensemble = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Read photos once and keep their features; a build that was stopped goes on where it stood.

    Folders are searched with all that is below them. A photo whose content is in already is never read again. Photos
    that cannot be read, or whose name another one has, are listed at the end (exit code 1).
    """
    from ..collection.manifest import Manifest
    from ..collection.store import Collection
    from ..collection.upkeep import MANIFEST

    named = photos_of(photos, collection)
    check_writable(collection)
    settings = {"prompt": prompt, "fit": fit, "stage": stage, "timestep": timestep, "ensemble": ensemble}
    opened = {"model": _whereabouts(model), "task": task, "dtype": dtype, "size": size, **settings}
    there = (collection / MANIFEST).exists()
    if there:
        manifest = Manifest.load(collection / MANIFEST)
        if (dims, numbers) != (manifest.dims, manifest.numbers):
            raise InvalidInput(
                f"{collection} holds {manifest.dims} components as {manifest.numbers}; use --dims {manifest.dims} "
                f"--numbers {manifest.numbers}, or build another collection"
            )
        refuse_other_model(manifest, collection, model)
    reader, opened = open_reader(opened, device)
    if there:
        kept = Collection(collection)
    else:
        kept = Collection.create(collection, reader, named, dims=dims, numbers=numbers, opened=opened)  # type: ignore[arg-type]
    before = 0 if not there else len(kept)
    report = kept.append(reader, named)
    _tell(kept, len(kept) - before, report)


@collect.command("add")
def add(photos: Photos, collection: Into, device: Device = None) -> None:
    """Add photos to a collection, with the model and settings that it was built with."""
    from ..collection.store import Collection

    kept = Collection(collection)
    named = photos_of(photos, collection)
    reader, _ = open_reader(kept.manifest.opened, device)
    report = kept.append(reader, named)
    _tell(kept, report.added, report)


@collect.command("verify")
def verify(collection: Whole) -> None:
    """Compare every file with its digest; what is wrong is listed (exit code 1)."""
    from ..collection import upkeep
    from ..collection.store import Collection

    wrong = upkeep.verify(collection)
    if not wrong:
        print(_state(Collection(collection)))
        return
    for line in wrong:
        print(line)
    print(f"to mend it: diffsight collect repair {collection}")
    raise typer.Exit(1)


@collect.command("repair")
def repair(collection: Whole) -> None:
    """Save what can be saved of a damaged collection, and take in what a stopped run had finished."""
    from ..collection import upkeep
    from ..collection.store import Collection

    for line in upkeep.repair(collection):
        print(line)
    print(_state(Collection(collection)))


@collect.command("delete")
def delete(
    collection: Whole, names: Annotated[list[str], typer.Argument(metavar="NAME ...", help="Names of photos.")]
) -> None:
    """Remove photos from a collection; the photos themselves stay."""
    from ..collection.store import Collection

    kept = Collection(collection)
    kept.delete(names)
    print(_state(kept))


def photos_of(given: list[Path], collection: Path) -> list[tuple[str, Path]]:
    """Names and paths of photos: below a folder the path from there on, else the file's name.

    Raises:
        InvalidInput: for a folder without photos.
    """
    named = []
    for path in given:
        if path.is_dir():
            inside = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in ENDINGS and p.is_file()]
            shown = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts)]
            if not shown:
                raise InvalidInput(f"{path} holds no photos (looked for {', '.join(ENDINGS)})")
            named += [(p.relative_to(path).as_posix(), p) for p in shown]
        else:
            named.append((path.name, path))
    return list({path.resolve(): (name, path) for name, path in named}.values())


def refuse_other_model(manifest: Any, collection: Path, model: str) -> None:
    """Refuse, before anything is loaded, a model that a collection was not built with.

    Raises:
        InvalidInput: for another model.
    """
    if _whereabouts(model) not in (manifest.opened["model"], manifest.model):
        raise InvalidInput(
            f"{collection} was built with {manifest.model}, not with {model}; use --model {manifest.opened['model']}, "
            "or build another collection"
        )


def open_reader(opened: dict[str, Any], device: str | None) -> tuple[ModelReader, dict[str, Any]]:
    """Open a reader, and say how with nothing left to the machine: the number format is part of what is read."""
    from ..device import pick_device, pick_dtype
    from ..readers import ModelReader

    asked = {key: value for key, value in opened.items() if value is not None}
    dtype = str(pick_dtype(pick_device(device), asked.pop("dtype", None))).removeprefix("torch.")
    changes = {**asked, "size": (asked["size"], asked["size"])} if "size" in asked else asked
    return ModelReader.open(device=device, dtype=dtype, **changes), {**asked, "dtype": dtype}


def _whereabouts(model: str) -> str:
    """A model's name, or where its files are, whatever folder a later command runs in."""
    from ..backbones.cards import CARDS

    return str(Path(model).resolve()) if model not in CARDS and Path(model).exists() else model


def _state(kept: Collection) -> str:
    """A line on what a collection holds and what it takes."""
    manifest = kept.manifest
    if not len(kept):
        return f"{kept.folder}: no photos"
    each = kept.size / len(kept)
    return (
        f"{kept.folder}: {len(kept):,} photos read by {manifest.model}, {each / 1000:.1f} kB each, "
        f"1/{manifest.raw_bytes / each:.1f} of their features in fp16"
    )


def _tell(kept: Collection, added: int, report: Added) -> None:
    """Say what became of photos; exit code 1 if some were skipped."""
    print(f"{added:,} added, {report.known + report.added - added:,} in it already")
    print(_state(kept))
    for line in report.skipped:
        print(f"skipped: {line}")
    if report.skipped:
        raise typer.Exit(1)
