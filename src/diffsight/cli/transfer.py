"""``diffsight transfer``: annotations of a few photos carried to a folder of others."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..engine import Loaded, check_engine, run
from ..errors import InvalidInput
from ..files import check_writable, file_digest, save_json
from .inputs import OpenReader, collect, refuse_other_run
from .options import Device, Dtype, Engine, Prompt, Seed, Store, Workers

if TYPE_CHECKING:
    from ..readers import Reader
    from ..segmentation.segmenter import Segmenter
    from ..transfer.annotations import Annotations as Marks
    from ..transfer.folder import TransferFolder
    from ..transfer.work import Recipe


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
    shape: Annotated[
        float | None, typer.Option(help="How strongly points keep their arrangement; 0 finds each on its own.")
    ] = None,
    window: Annotated[int | None, typer.Option(metavar="CELLS", help="Reach of the soft-argmax.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the soft-argmax, in units of cosine.")] = None,
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
    jobs = collect([to], out)
    check_writable(out)
    check_engine(engine, workers)
    if review < 0:
        raise InvalidInput(f"--review {review} does not suit; use 0 or more photos")
    if segmenter is not None and not masks:
        raise InvalidInput("--segmenter cuts for masks; give --masks too")

    from ..matching.confidence import Calibrations
    from ..matching.refine import refinement
    from ..transfer.annotations import Annotations
    from ..transfer.carry import CarrySettings
    from ..transfer.folder import TransferFolder
    from ..transfer.join import join, only
    from ..transfer.reading import read_annotations
    from ..transfer.work import Recipe

    folder = TransferFolder(out)
    targets = {path.name: path for path in jobs.values()}
    known = only(join([read_annotations(path, photos) for path in references]), category or [])
    corrections = [only(read_annotations(path, to), [own.name for own in known.categories]) for path in add or []]
    _check_corrections(corrections, targets)
    opener = OpenReader(model, device, dtype, store, prompt, seed)
    reader = opener()
    how = refinement(preset, reader.refine, shape=shape, window=window, temperature=temperature)
    settings = CarrySettings(how, {None: "auto", True: "on", False: "off"}[flip], votes, abstain_below)  # type: ignore[arg-type]
    calibrations = Calibrations.shipped(reader.name) if calibration is None else Calibrations.load(calibration)
    cutter = OpenSegmenter(segmenter or model, device, dtype) if masks else None
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
    save_json(facts, out / "run.json")
    taken = sum(folder.correct(photo) for own in corrections for photo in own.photos)
    whole = join([known, Annotations(known.categories, folder.corrections(targets))])
    recipe = Recipe(whole, settings, calibrations, opener, cutter)
    failed = _label(recipe, reader, folder, targets, device, engine, workers)
    for path in folder.write(known.categories, folder.done(targets), review):
        print(path)
    if add:
        print(f"{taken} corrected photos taken as references; those marked as they were found are left as they are")
    if not calibrations.is_fitted:
        print(
            f"the confidence of {reader.name} ranks photos, but is no probability; fit one with `diffsight calibrate`"
        )
    for line in failed:
        print(f"skipped: {line}")
    if failed:
        raise typer.Exit(1)


def _check_corrections(corrections: list[Marks], targets: dict[str, Path]) -> None:
    for photo in (photo for own in corrections for photo in own.photos):
        if photo.name not in targets:
            raise InvalidInput(
                f"--add corrects {photo.name}, which is none of the photos to label; give it as a reference"
            )


def _label(
    recipe: Recipe,
    reader: Reader,
    folder: TransferFolder,
    targets: dict[str, Path],
    device: str | None,
    engine: str,
    workers: int | None,
) -> list[str]:
    """Label every photo that is no reference and on which others vote than before; a line for each that failed."""
    from tqdm import tqdm

    from ..device import pick_device

    marked = {file_digest(photo.path) for photo in recipe.references.photos}
    jobs = folder.jobs({name: path for name, path in targets.items() if file_digest(path) not in marked})
    if not jobs:
        return []
    work = Loaded(recipe.transfer(reader), recipe)
    gpus = 1 if pick_device(device).type == "cuda" else 0
    results = run(work, jobs, engine=engine, workers=workers, gpus=gpus)
    failed = []
    for job, answer in tqdm(results, total=len(jobs), desc="labelling", unit="photo"):
        folder.keep(job, answer)
        if answer.failure:
            failed.append(answer.failure)
    return failed
