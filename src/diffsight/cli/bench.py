"""``diffsight bench``: figures that anyone can regenerate."""

from __future__ import annotations

from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidInput
from ..files import check_writable, save_json
from . import bench_run, bench_transfer
from .options import Device, Dtype, Model

if TYPE_CHECKING:
    from ..benchmarks.metrics import PairErrors
    from ..benchmarks.pairs import KeypointPair

bench = typer.Typer(help="Print figures that anyone can regenerate.", no_args_is_help=True)

Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures here.")]
Method = Annotated[
    list[str] | None,
    typer.Option(help="dift (the default), prompt or frozen; repeat to compare. Prompts are slow: ask for few pairs."),
]
Few = Annotated[int | None, typer.Option(help="Score so many points of each pair at most, drawn at random.")]
Change = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of prompt matching; repeat for more.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench_run.register(bench)
    bench_transfer.register(app, bench)
    app.add_typer(bench, name="bench")


@bench.command("world")
def world(
    model: Model = "pocket",
    pairs: Annotated[int, typer.Option(help="Pairs of each category.")] = 20,
    points: Few = None,
    method: Method = None,
    change: Change = None,
    json_file: Json = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Semantic matching on reserved pictures of the procedural world: the model, the same untrained, raw pixels.

    PCK: a point counts if it lies within alpha times the longer side of the target object's visible box. Points are
    those visible in both pictures.
    """
    _check(pairs, json_file)
    methods = _methods(method, points, change)
    from ..benchmarks.pairs import few_points, world_pairs

    drawn = world_pairs(pairs)
    drawn = drawn if points is None else few_points(drawn, points)
    _compare(drawn, "bbox", model, methods, change or [], json_file, device, dtype)


@bench.command("keypoints")
def keypoints(
    table: Annotated[Path, typer.Argument(metavar="TABLE.csv", help="Columns image, NAME_x, NAME_y[, NAME_visible].")],
    model: Model = "pocket",
    pairs: Annotated[int, typer.Option(help="Pairs of different photos to draw.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    points: Few = None,
    method: Method = None,
    change: Change = None,
    json_file: Json = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Semantic matching on your own annotated photos: the model, the same model untrained, raw pixels.

    PCK: a point counts if it lies within alpha times the longer side of the tight box around the target's keypoints.
    """
    _check(pairs, json_file)
    methods = _methods(method, points, change)
    from ..benchmarks.pairs import csv_pairs, few_points

    drawn = csv_pairs(table, pairs, seed)
    drawn = drawn if points is None else few_points(drawn, points, seed)
    _compare(drawn, "keypoint extent", model, methods, change or [], json_file, device, dtype)


@bench.command("segments")
def segments(
    photos: Annotated[
        Path | None, typer.Argument(metavar="[PHOTOS", help="Folder of photos; the world if none.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Argument(metavar="LABELS]", help="Folder of label PNGs of the same names.")
    ] = None,
    ignored: Annotated[int | None, typer.Option(help="A label that is not counted, besides 255.")] = None,
    model: Model = "pocket",
    scenes: Annotated[int, typer.Option(help="World scenes to draw.")] = 60,
    json_file: Json = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Unsupervised segmentation: every solver on the model and on the same network untrained, and plain clustering.

    Each photo's segments are assigned to its classes by shared pixels (DiffSeg's protocol); ACC and mIoU in percent.
    """
    _check(scenes, json_file, "--scenes")
    if (photos is None) != (labels is None):
        raise InvalidInput("give both a folder of photos and a folder of labels, or neither for the world")
    from rich.console import Console
    from rich.table import Table

    from ..backbones.registry import load
    from ..benchmarks.masks import compare, folder_samples, world_scenes

    samples, classes = (
        world_scenes(scenes) if photos is None or labels is None else folder_samples(photos, labels, ignored)
    )
    title = f"{len(samples)} photos, {classes} classes"
    table = Table("", "ACC", "mIoU", "95 %", "mIoU, present", title=title)
    report = {}
    for name, score in compare(load(model, device=device, dtype=dtype), samples, classes):
        figures = (f"{score.acc:.1f}", f"{score.miou:.1f}", _range(score.miou_interval), f"{score.miou_present:.1f}")
        table.add_row(name, *figures)
        report[name] = asdict(score)
    Console().print(table)
    if json_file is not None:
        save_json({"classes": classes, "scores": report}, json_file)


@bench.command("warps")
def warps(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Pairs laid out as HPatches; the world if none.")
    ] = None,
    model: Model = "pocket",
    pairs: Annotated[int, typer.Option(help="World pairs to draw.")] = 100,
    keypoints: Annotated[str, typer.Option(help="sift, orb, grid or superpoint.")] = "sift",
    count: Annotated[int, typer.Option(help="Keypoints a photo at most.")] = 1000,
    estimator: Annotated[str, typer.Option(help="magsac, ransac or lmeds.")] = "magsac",
    threshold: Annotated[float, typer.Option(help="How far off an agreeing match may be, pixels.")] = 3.0,
    sampling: Annotated[str, typer.Option(help="correct, or reference to repeat the published script.")] = "correct",
    measure: Annotated[str, typer.Option(help="cosine or distance.")] = "cosine",
    seed: Annotated[int, typer.Option(help="Of the estimator.")] = 0,
    json_file: Json = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Homographies between photos of one plane: the model, the same untrained, raw pixels.

    A homography counts if it puts the source's corners within 1, 3, 5 or 10 pixels of the truth, on average over the
    four; a match, if it lies within as much of where the true homography puts it.
    """
    _check(pairs, json_file)
    from rich.console import Console
    from rich.table import Table

    from ..backbones.registry import load, task_settings
    from ..benchmarks.baselines import RawPixels
    from ..benchmarks.warps import PIXELS, folder_warps, plane_score, run_warps, world_warps
    from ..matching.homography import EstimateSettings
    from ..matching.sparse import SparseSettings

    matching = SparseSettings(sampling, measure)  # type: ignore[arg-type]
    estimation = EstimateSettings(estimator=estimator, threshold=threshold, seed=seed)  # type: ignore[arg-type]
    drawn = world_warps(pairs) if folder is None else folder_warps(folder)
    backbone = load(model, device=device, dtype=dtype)
    raw = RawPixels(task_settings(backbone.card, "geometric").size, backbone.multiple)
    options: dict[str, Any] = {"keypoints": keypoints, "count": count, "matching": matching, "estimation": estimation}
    groups = dict.fromkeys(pair.group for pair in drawn)
    title = f"{len(drawn)} pairs; corners and matches within 1 / 3 / 5 / 10 px"
    table = Table("", "corners, %", "within 3 px, 95 %", "median, px", "none, %", "matches", "right, %", title=title)
    report, rows = {}, {}
    for name, network in (("raw pixels", raw), (f"untrained {model}", backbone.untrained()), (model, backbone)):
        found = run_warps(network, drawn, **options)
        rows[name] = {one.name: round(one.corners, 3) if isfinite(one.corners) else None for one in found}
        parts = {f"{name}, {group}": [r for r in found if r.group == group] for group in groups if len(groups) > 1}
        for label, results in {name: found, **parts}.items():
            score = plane_score(results)
            report[label] = asdict(score) | {"corners": score.corners if isfinite(score.corners) else None}
            shown = (score.homographies.correct, score.right)
            correct, right = (" / ".join(f"{value:.0f}" for value in values) for values in shown)
            missing = f"{score.homographies.missing:.0f}"
            spread = _range(score.homographies.intervals[PIXELS.index(3)], 0)
            table.add_row(label, correct, spread, f"{score.corners:.1f}", missing, f"{score.matches:.0f}", right)
    Console().print(table)
    if json_file is not None:
        settings = {"keypoints": keypoints, "count": count, "matching": asdict(matching)}
        save_json({**settings, "estimation": asdict(estimation), "scores": report, "corners": rows}, json_file)


@bench.command("clips")
def clips(
    davis: Annotated[
        Path | None, typer.Argument(metavar="[DAVIS]", help="Folder in DAVIS-2017's layout; the world if none.")
    ] = None,
    model: Model = "pocket",
    count: Annotated[int, typer.Option("--clips", help="World clips to draw.")] = 20,
    frames: Annotated[int | None, typer.Option(help="Frames of each clip at most.")] = None,
    json_file: Json = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Label propagation: the model, the same untrained, raw pixels, and a copy of the first frame.

    J and F as DAVIS scores them, the first and the last frame left out; points: share of the visible ones found within
    a tenth of the longer side of their object's box. All in percent.
    """
    _check(count, json_file, "--clips")
    if frames is not None and frames < 3:
        raise InvalidInput(f"--frames {frames} is too few, as the first and the last do not count; use 3 or more")
    from rich.console import Console
    from rich.table import Table
    from tqdm import tqdm

    from ..backbones.registry import load
    from ..benchmarks.video import LENGTH, compare, davis_clips, world_clips
    from ..video.tracker import Tracker

    backbone = load(model, device=device, dtype=dtype)
    drawn = world_clips(count, length=frames or LENGTH) if davis is None else davis_clips(davis, frames)
    scores = compare(backbone, tqdm(drawn, desc="following", unit="clip", leave=False))
    table = Table("", "J&F", "95 %", "J", "F", "points", title=f"{scores[backbone.card.name].clips} clips")
    for name, score in scores.items():
        values = ("-" if value is None else f"{value:.1f}" for value in (score.j, score.f, score.points))
        table.add_row(name, f"{score.jf:.1f}", _range(score.jf_interval), *values)
    Console().print(table)
    if json_file is not None:
        tracker = Tracker(backbone)
        settings = {"reading": asdict(tracker.reading), "propagation": asdict(tracker.settings)}
        save_json({**settings, "scores": {name: asdict(own) for name, own in scores.items()}}, json_file)


def _range(ends: tuple[float, float], digits: int = 1) -> str:
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def _check(count: int, json_file: Path | None, option: str = "--pairs") -> None:
    if count < 1:
        raise InvalidInput(f"{option} {count} is too few; use 1 or more")
    if json_file is not None and json_file.is_dir():
        raise InvalidInput(f"--json {json_file} is a folder; give a file")
    if json_file is not None:
        check_writable(json_file.parent)


def _methods(given: list[str] | None, points: int | None, change: list[str] | None) -> list[str]:
    if points is not None and points < 1:
        raise InvalidInput(f"--points {points} is too few; use 1 or more, or leave it out for all")
    methods = list(dict.fromkeys(given or ["dift"]))
    if unknown := set(methods) - {"dift", "prompt", "frozen"}:
        raise InvalidInput(f"unknown method {unknown.pop()!r}; use dift, prompt or frozen")
    if change and methods == ["dift"]:
        raise InvalidInput("--set changes prompt matching; name it with --method prompt or --method frozen")
    if any(text.startswith("mode=") for text in change or []):
        raise InvalidInput("--set mode=... does not suit; choose by --method prompt (exact) or --method frozen")
    return methods


def _compare(
    pairs: list[KeypointPair],
    base: str,
    model: str,
    methods: list[str],
    change: list[str],
    json_file: Path | None,
    device: str | None,
    dtype: str | None,
) -> None:
    """Score raw pixels, and the model and its untrained twin by each method, on the same pairs; print the tables."""
    from ..backbones.registry import load, task_settings
    from ..benchmarks.baselines import RawPixels
    from ..benchmarks.metrics import ALPHAS, pck
    from ..benchmarks.metrics.points import Pool
    from ..benchmarks.pairs import run_pairs, run_prompt
    from ..matching import prompt

    backbone = load(model, device=device, dtype=dtype)
    own = task_settings(backbone.card, "semantic")
    by_prompt = prompt.change(prompt.settings_for(backbone.card), change)
    stride = next((tap.stride for tap in backbone.taps.features if tap.name == own.stage), backbone.multiple)
    raw = RawPixels(own.size, min(stride, backbone.multiple))
    results = {"raw pixels": run_pairs(raw, raw.card.tasks["semantic"], pairs)}
    settings: dict[str, Any] = {}
    refound = {}
    for method in methods:
        for name, network in ((f"untrained {model}, {method}", backbone.untrained()), (f"{model}, {method}", backbone)):
            if method == "dift":
                settings[method] = asdict(own)
                results[name] = run_pairs(network, own, pairs)
            else:
                mode: prompt.Mode = "exact" if method == "prompt" else "frozen_queries"
                settings[method] = asdict(used := replace(by_prompt, mode=mode))
                results[name], again = run_prompt(network, used, pairs)
                refound[name] = pck(again, 1.0).per_point
    report = {name: [asdict(pck(found, alpha)) for alpha in ALPHAS] for name, found in results.items()}
    by_category = {name: _by_category(found) for name, found in results.items()}
    intervals = {name: Pool.of(found).interval(0.1) for name, found in results.items()}
    _print(report, by_category, base)
    scores = {name: rows[ALPHAS.index(0.1)]["per_point"] for name, rows in report.items()}
    for method in methods:
        score = scores[f"{model}, {method}"]
        others = ((other, scores[other]) for other in ("raw pixels", f"untrained {model}, {method}"))
        ratios = "".join(f" = {score / value:.1f} x {other}" for other, value in others if value > 0)
        low, high = intervals[f"{model}, {method}"]
        print(f"{model}, {method}, PCK@0.1 per point: {score:.1f} (95 %: {low:.1f} to {high:.1f}){ratios}")
    for name, share in refound.items():
        print(f"{name}: {share:.1f} % of the points are found in their own photo, within a cell of the coarsest map")
    if json_file is not None:
        facts: dict[str, Any] = {"threshold": base, "settings": settings, "pck": report}
        facts |= {"pck_0.1_by_category": by_category, "pck_0.1_interval": intervals}
        save_json({**facts, "found_in_their_own_photo": refound}, json_file)


def _by_category(found: list[PairErrors]) -> dict[str, float]:
    from ..benchmarks.metrics import pck

    scored = [result for result in found if len(result.distances)]
    names = dict.fromkeys(result.category for result in scored)
    return {name: round(pck([r for r in scored if r.category == name], 0.1).per_point, 2) for name in names}


def _print(report: dict[str, list[dict[str, float]]], by_category: dict[str, dict[str, float]], base: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    first = next(iter(report.values()))
    header = [f"@{row['alpha']:g}" for row in first]
    title = f"PCK, {base}, {first[0]['points']} points, {first[0]['pairs']} pairs: per point / per image"
    table = Table("", *header, title=title)
    for name, rows in report.items():
        table.add_row(name, *(f"{row['per_point']:.1f} / {row['per_image']:.1f}" for row in rows))
    console.print(table)
    table = Table("PCK@0.1 per point", *by_category)
    for category in next(iter(by_category.values())):
        table.add_row(category, *(f"{figures[category]:.1f}" for figures in by_category.values()))
    console.print(table)
