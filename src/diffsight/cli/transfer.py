"""``diffsight transfer``: annotations of a few photos carried to a folder of others."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..changes import parse_changes
from ..engine import Loaded, check_engine, run
from ..errors import InvalidInput
from ..files import check_writable, file_digest, save_json
from .inputs import OpenReader, collect, refuse_other_run
from .options import Change, Debias, Device, Dtype, Engine, Prompt, Seed, Store, Workers

if TYPE_CHECKING:
    from ..readers import Reader
    from ..segmentation.segmenter import Segmenter
    from ..transfer.annotations import AnnotatedPhoto
    from ..transfer.annotations import Annotations as Marks
    from ..transfer.carry import Flip
    from ..transfer.folder import TransferFolder
    from ..transfer.work import Recipe


FLIPS: dict[bool | None, Flip] = {None: "auto", True: "on", False: "off"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("transfer")(transfer)


@dataclass(frozen=True)
class OpenSegmenter:
    """Makes a segmenter, on whatever machine."""

    model: str
    device: str | None
    dtype: str | None

    def __call__(self) -> Segmenter:
        """Load the network."""
        from ..segmentation.segmenter import Segmenter

        return Segmenter(self.model, device=self.device, dtype=self.dtype)


def transfer(
    references: Annotated[
        list[Path], typer.Argument(metavar="REFERENCES ...", help="Annotated photos: COCO or LabelMe JSON, or CSV.")
    ],
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Photos to label.")],
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the references' photos are, if not beside them.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this category; repeat for more.")
    ] = None,
    add: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Photos of FOLDER that you have corrected; they become references."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")] = Path("transferred"),
    model: Annotated[
        str, typer.Option(help="A recipe, such as pocket+ or diffusion+dino, or what --model else takes.")
    ] = "pocket+",
    preset: Annotated[str, typer.Option(help="best, or plain: nearest neighbours at the photo's resolution.")] = "best",
    votes: Annotated[int, typer.Option(help="References asked about a photo: those most like it.")] = 8,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="Also try references mirrored; left out: if that helps them."),
    ] = None,
    change: Change = None,
    debias: Debias = 0,
    masks: Annotated[bool, typer.Option("--masks", help="Also find masks, through the segmentation.")] = False,
    segmenter: Annotated[
        str | None, typer.Option(metavar="MODEL", help="What cuts for --masks, if not the model itself.")
    ] = None,
    abstain_below: Annotated[float, typer.Option(help="Leave out points less sure than this, 0 to 1.")] = 0.0,
    calibration: Annotated[
        Path | None, typer.Option(metavar="FILE", help="From `diffsight calibrate`; the shipped one if left out.")
    ] = None,
    review: Annotated[int, typer.Option(help="Least certain photos on the review page; 0 for no page.")] = 500,
    prompt: Prompt = None,
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = None,
    store: Store = None,
    engine: Engine = "local",
    workers: Workers = None,
) -> None:
    """Mark a few photos, label the rest: keypoints, boxes and masks, with a confidence for each.

    Writes annotations.json (COCO), label_studio.json, cvat.xml, annotations.csv and review.html, the least certain
    photos first. A run that was stopped goes on where it stood. Corrected photos are given back with --add; only photos
    on which other references vote then are labelled again. One object of each category is looked for on a photo.
    """
    if not to.is_dir():
        raise InvalidInput(f"--to {to} is no folder; give the folder of the photos to label")
    targets = {path.name: path for path in collect([to], out).values()}
    check_writable(out)
    check_engine(engine, workers)
    if review < 0:
        raise InvalidInput(f"--review {review} does not suit; use 0 or more photos")
    if segmenter is not None and not masks:
        raise InvalidInput("--segmenter cuts for masks; give --masks too")
    for path in references:
        if path.resolve().is_relative_to(out.resolve()):
            raise InvalidInput(f"{path} lies in --out {out}, where it might be replaced; give another --out")

    from ..matching.confidence import Calibrations
    from ..matching.refine import refinement
    from ..readers import single
    from ..transfer.annotations import AnnotatedPhoto, Annotations, check
    from ..transfer.carry import CarrySettings
    from ..transfer.folder import TransferFolder
    from ..transfer.join import join, only
    from ..transfer.reading import read_annotations
    from ..transfer.work import Recipe

    check(Annotations((), [AnnotatedPhoto(name, path, (1, 1)) for name, path in targets.items()]))
    folder = TransferFolder(out)
    folder.check_own(out / "run.json")
    known = only(join([read_annotations(path, photos) for path in references]), category or [])
    corrections = _corrections(add or [], to, targets, known)
    opener = OpenReader(model, device, dtype, store, prompt, seed, debias=debias)
    reader = opener()
    how = refinement(preset, reader.refine)
    how = replace(how, **parse_changes(how, change or [], fixed=("flip",)))
    settings = CarrySettings(how, FLIPS[flip], votes, abstain_below)
    calibrations = Calibrations.chosen(calibration, reader.name, reader.record)
    cutter = OpenSegmenter(segmenter or single(model), device, dtype) if masks else None
    facts = {
        "model": reader.name,
        "reading": reader.fingerprint,
        "settings": asdict(settings),
        "calibration": calibrations.digest,
        "masks": None if cutter is None else cutter.model,
        "categories": [asdict(own) for own in known.categories],
        "photos": to.resolve().name,
    }
    facts = json.loads(json.dumps(facts))
    refuse_other_run(out / "run.json", facts)
    new = [photo for photo in corrections if folder.differs(photo)]
    final = {photo.name: photo for photo in (*folder.corrections(targets), *new)}
    whole = join([known, Annotations(known.categories, [final[name] for name in targets if name in final])])
    save_json(facts, out / "run.json")
    for photo in new:
        folder.correct(photo)
    given = _given(whole, targets)
    recipe = Recipe(whole, settings, calibrations, opener, cutter)
    todo = {name: path for name, path in targets.items() if name not in given}
    failed = _label(recipe, reader, folder, todo, engine, workers, device)
    for path in folder.write(known.categories, targets, given, review):
        print(path)
    if add:
        print(f"{len(new)} corrected photos taken as references; those marked as they were found are left as they are")
    if not calibrations.is_fitted:
        print(
            f"the confidence of {reader.name} ranks photos, but is no probability; fit one with `diffsight calibrate`"
        )
    for line in failed:
        print(f"skipped: {line}")
    if failed:
        raise typer.Exit(1)


def _corrections(files: list[Path], to: Path, targets: dict[str, Path], known: Marks) -> tuple[AnnotatedPhoto, ...]:
    """The photos of these files that show a category of the references, and are none of them."""
    from ..transfer.join import agree, narrow
    from ..transfer.reading import read_annotations

    several, names = [], [own.name for own in known.categories]
    for path in files:
        found = read_annotations(path, to)
        own = narrow(found, names)
        if not own.photos:
            shown = ", ".join(category.name for category in found.categories) or "nothing"
            raise InvalidInput(
                f"--add {path} marks {shown}, the references {', '.join(names)}; name categories alike (those of a "
                "table without the column 'category' are named like the file)"
            )
        for photo in own.photos:
            if photo.name not in targets:
                raise InvalidInput(
                    f"--add corrects {photo.name}, which is none of the photos to label; give it as a reference"
                )
        several.append(own)
    return agree(known, several)


def _given(whole: Marks, targets: dict[str, Path]) -> dict[str, AnnotatedPhoto]:
    """The targets that are references themselves, by their content."""
    marked = {file_digest(photo.path): photo for photo in whole.photos}
    digests = {name: file_digest(path) for name, path in targets.items()}
    return {
        name: replace(marked[digest], name=name, path=targets[name])
        for name, digest in digests.items()
        if digest in marked
    }


def _label(
    recipe: Recipe,
    reader: Reader,
    folder: TransferFolder,
    photos: dict[str, Path],
    engine: str,
    workers: int | None,
    device: str | None,
) -> list[str]:
    """Label every photo on which others vote than before; a line for each that failed."""
    from tqdm import tqdm

    from ..device import pick_device

    jobs = folder.jobs(photos)
    if not jobs:
        return []
    worker = Loaded(recipe.transfer(reader), recipe) if engine == "local" else recipe
    gpus = 1 if pick_device(device).type == "cuda" else 0
    results = run(worker, jobs, engine=engine, workers=workers, gpus=gpus)
    failed = []
    for job, answer in tqdm(results, total=len(jobs), desc="labelling", unit="photo"):
        folder.keep(job, answer)
        if answer.failure:
            failed.append(answer.failure)
    return failed
