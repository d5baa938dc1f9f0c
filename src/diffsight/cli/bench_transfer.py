"""``diffsight bench transfer`` and ``diffsight calibrate``: how well annotations are carried, and how sure that is."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidInput
from ..files import check_writable, save_json
from .options import Device, Dtype

if TYPE_CHECKING:
    from ..benchmarks.transfer import Job, Scores

Joined = Annotated[str, typer.Option(help="A recipe, such as pocket+ or diffusion+dino, or what --model else takes.")]
Category = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this category; repeat for more.")]
Truth = Annotated[
    Path | None,
    typer.Argument(metavar="[ANNOTATIONS]", help="Annotated photos: COCO or LabelMe JSON, or CSV. The world if none."),
]
Photos = Annotated[Path | None, typer.Option(metavar="DIR", help="Where the photos are, if not beside ANNOTATIONS.")]


def register(app: typer.Typer, bench: typer.Typer) -> None:
    """Add the commands."""
    bench.command("transfer")(bench_transfer)
    app.command("calibrate")(calibrate)


def bench_transfer(
    annotations: Truth = None,
    photos: Photos = None,
    category: Category = None,
    model: Joined = "pocket+",
    references: Annotated[int, typer.Option(help="Annotated photos of each category.")] = 5,
    targets: Annotated[int, typer.Option(help="World pictures of each category to label.")] = 200,
    calibration: Annotated[
        Path | None, typer.Option(metavar="FILE", help="From `diffsight calibrate`; the shipped one if left out.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures here, with both curves.")
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Carry the points of a few photos to others of the same category, by each option and by the best together.

    A point is right within a tenth of the longer side of its object's box (of its points, if no box is marked). Errors
    are shares of wrong points: of all, and of the 30 % that are surest. ECE is the gap between confidence and truth.
    """
    if json_file is not None:
        check_writable(json_file.parent)
    from rich.console import Console
    from rich.table import Table

    from ..benchmarks.transfer import BEST, compare
    from ..matching.confidence import Calibrations
    from ..readers import open_reader, single

    jobs = _jobs(annotations, photos, category, references, targets)
    alone = open_reader(single(model), device=device, dtype=dtype)
    reader = open_reader(model, device=device, dtype=dtype)
    calibrations = Calibrations.chosen(calibration, reader.name, reader.record)
    scores = compare(jobs, alone, reader, calibrations)
    table = Table(
        "", "PCK@0.1", "error", "surest 30 %", "AURC", "ECE", "ms", title=f"{next(iter(scores.values())).points} points"
    )
    for label, own in scores.items():
        shares = (own.pck, own.error, own.error_of_surest, own.area)
        gap = f"{100 * own.gap:.1f}" if label == BEST else "-"
        table.add_row(label, *(f"{100 * share:.1f}" for share in shares), gap, f"{own.milliseconds:.1f}")
    Console().print(table)
    _print_curves(scores)
    if json_file is not None:
        facts: dict[str, Any] = {label: own.facts() for label, own in scores.items()}
        save_json({"model": reader.name, "calibration": calibrations.model, "rows": facts}, json_file)


def calibrate(
    annotations: Truth = None,
    photos: Photos = None,
    category: Category = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it.")] = Path("calibration.json"),
    model: Joined = "pocket+",
    references: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Annotated photos that vote; repeat for more. [default: 5]")
    ] = None,
    targets: Annotated[int, typer.Option(help="World pictures of each category to check.")] = 100,
    preset: Annotated[str, typer.Option(help="best or plain, as `diffsight transfer` has it.")] = "best",
    portable: Annotated[
        bool, typer.Option("--portable", help="Use only signals that mean the same for every model.")
    ] = False,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Fit the confidence of `diffsight transfer` on photos whose points are known.

    The first N annotated photos of a category are carried to the others, and what is found is checked. Without
    ANNOTATIONS it is fitted on pictures of the procedural world that are kept for choosing settings. The table says how
    it does on photos that it was not fitted on: wrong points, of all and of the 30 % that are surest, and the gap
    between confidence and truth.
    """
    check_writable(out.parent)
    from rich.console import Console
    from rich.table import Table

    from ..benchmarks.transfer import check, fit_calibrations, held_out
    from ..matching.refine import refinement
    from ..readers import open_reader
    from ..world import TUNING

    counts = sorted(set(references or [5]))
    jobs = _jobs(annotations, photos, category, max(counts), targets, first=TUNING)
    about = "world pictures of tuning seeds" if annotations is None else annotations.name
    reader = open_reader(model, device=device, dtype=dtype)
    how = refinement(preset, reader.refine)
    outcomes = check(jobs, reader, how, counts)
    fit_calibrations(outcomes, reader.name, about, reader.record, portable=portable).save(out)
    table = Table("references", "points", "error", "surest 30 %", "AURC", "ECE", title="each half by the other")
    for count, found in outcomes.items():
        with suppress(InvalidInput):  # half of few photos may be too few
            own = held_out(found, portable=portable)
            shares = (own.error, own.error_of_surest, own.area, own.gap)
            table.add_row(str(count), str(own.points), *(f"{100 * share:.1f}" for share in shares))
    if table.row_count:
        Console().print(table)
    print(out)


def _jobs(
    annotations: Path | None,
    photos: Path | None,
    category: list[str] | None,
    references: int,
    targets: int,
    first: int | None = None,
) -> list[Job]:
    from ..benchmarks.transfer import annotated_job, world_jobs
    from ..transfer.join import only
    from ..transfer.reading import read_annotations
    from ..world import RESERVED, categories

    for option, count in (("--references", references), ("--targets", targets)):
        if count < 1:
            raise InvalidInput(f"{option} {count} is too few; use 1 or more")
    if annotations is None:
        if unknown := set(category or []) - set(categories()):
            raise InvalidInput(f"the world has no {min(unknown)!r}; it has {', '.join(categories())}")
        return world_jobs(references, targets, RESERVED if first is None else first, category or [])
    known = only(read_annotations(annotations, photos), category or [])
    return [annotated_job(known, own.name, references) for own in known.categories]


def _print_curves(scores: dict[str, Scores]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..benchmarks.metrics.confidence import risk_coverage
    from ..benchmarks.transfer import BEST, PLAIN

    kept = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
    table = Table("error, of the surest", *(f"{100 * share:.0f} %" for share in kept))
    for label in (PLAIN, BEST):
        curve = risk_coverage(scores[label].confidence, scores[label].right)
        table.add_row(label, *(f"{100 * curve.at(share):.1f}" for share in kept))
    Console().print(table)
    table = Table("PCK@0.1", PLAIN, BEST)
    for name, share in scores[BEST].by_category.items():
        table.add_row(name, f"{100 * scores[PLAIN].by_category[name]:.1f}", f"{100 * share:.1f}")
    Console().print(table)
