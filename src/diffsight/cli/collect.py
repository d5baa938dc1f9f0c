"""``diffsight collect``: features of many photos, kept on disk."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..engine import check_engine
from ..errors import InvalidInput
from ..files import check_writable
from .inputs import ENDINGS, OpenReader
from .options import Device, Dtype, Engine, Ensemble, Fitting, Prompt, Side, Stage, Timestep, Workers

if TYPE_CHECKING:
    from ..collection.manifest import Manifest
    from ..collection.store import Collection
    from ..collection.work import Added, Spread

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
    model: Annotated[
        str, typer.Option(help="A recipe, such as pocket+ or sd+dino, or what --model else takes.")
    ] = "pocket",
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
    engine: Engine = "local",
    workers: Workers = None,
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
    check_engine(engine, workers)
    opener = OpenReader(
        _whereabouts(model),
        device,
        dtype,
        prompt=prompt,
        task=task,
        size=size,
        fit=fit,
        stage=stage,
        timestep=timestep,
        ensemble=ensemble,
    )
    there = (collection / MANIFEST).exists()
    if there:
        manifest = Manifest.load(collection / MANIFEST)
        if (dims, numbers) != (manifest.dims, manifest.numbers):
            raise InvalidInput(
                f"{collection} holds {manifest.dims} components as {manifest.numbers}; use --dims {manifest.dims} "
                f"--numbers {manifest.numbers}, or build another collection"
            )
        refuse_other_model(manifest, collection, model)
    opener = pinned(opener)
    reader, spread = opener(), _spread(opener, engine, workers)
    if there:
        kept = Collection(collection)
        report = kept.append(reader, named, spread)
    else:
        opened = {key: value for key, value in asdict(opener).items() if value is not None and key != "device"}
        kept, report = Collection.create(
            collection,
            reader,
            named,
            dims=dims,
            numbers=numbers,  # type: ignore[arg-type]
            opened=opened,
            spread=spread,
        )
    _tell(kept, report)


@collect.command("add")
def add(
    photos: Photos, collection: Into, device: Device = None, engine: Engine = "local", workers: Workers = None
) -> None:
    """Add photos to a collection, with the model and settings that it was built with."""
    from ..collection.store import Collection

    check_engine(engine, workers)
    kept = Collection(collection)
    named = photos_of(photos, collection)
    opener = opener_of(kept.manifest, device)
    _tell(kept, kept.append(opener(), named, _spread(opener, engine, workers)))


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


def refuse_other_model(manifest: Manifest, collection: Path, model: str) -> None:
    """Refuse, before anything is loaded, a model that a collection was not built with.

    Raises:
        InvalidInput: for another model.
    """
    built = manifest.opened.get("model", manifest.model)
    if _whereabouts(model) not in (built, manifest.model):
        raise InvalidInput(
            f"{collection} was built with {manifest.model}, not with {model}; use --model {built}, or build another "
            "collection"
        )


def opener_of(manifest: Manifest, device: str | None) -> OpenReader:
    """How a collection's reader is opened again."""
    facts: dict[str, Any] = {"model": manifest.model, **manifest.opened}
    return pinned(OpenReader(**facts, device=device))


def pinned(opener: OpenReader) -> OpenReader:
    """With nothing left to the machine: the number format is part of what is read."""
    from ..device import pick_device, pick_dtype

    dtype = pick_dtype(pick_device(opener.device), opener.dtype)
    return replace(opener, dtype=str(dtype).removeprefix("torch."))


def _spread(opener: OpenReader, engine: str, workers: int | None) -> Spread:
    from ..collection.work import Spread
    from ..device import pick_device

    gpus = 1 if pick_device(opener.device).type == "cuda" else 0
    return Spread(engine, workers, gpus, opener)


def _whereabouts(model: str) -> str:
    """A model's or recipe's name, or where its files are, whatever folder a later command runs in."""
    from ..backbones.cards import CARDS
    from ..readers.recipes import RECIPES, pick

    name = pick(model)
    return str(Path(name).resolve()) if name not in {*CARDS, *RECIPES} and Path(name).exists() else name


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


def _tell(kept: Collection, report: Added) -> None:
    """Say what became of photos; exit code 1 if some were skipped."""
    print(f"{report.added:,} added, {report.known:,} in it already")
    print(_state(kept))
    for line in report.skipped:
        print(f"skipped: {line}")
    if report.skipped:
        raise typer.Exit(1)
