"""``diffsight segment``: photos cut into their parts."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..engine import check_engine
from ..errors import InvalidInput
from ..files import check_writable
from .inputs import collect
from .options import Device, Dtype, Engine, Model, Seed, Store, Timestep, Workers

if TYPE_CHECKING:
    from ..segmentation.diffseg import DiffSegSettings
    from ..segmentation.segmenter import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("segment")(segment)


def segment(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO|FOLDER ...", help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")] = Path("segments"),
    model: Model = "pocket",
    solver: Annotated[str, typer.Option(help="diffseg, ncut or kmeans.")] = "diffseg",
    preset: Annotated[
        str | None, typer.Option(help="diffseg: coco-stuff, cityscapes, demo; ncut: diffcut, sd-1.4.")
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="T[,T ...]",
            help="diffseg: distance below which maps merge, one for each iteration (one alone counts three times); "
            "ncut: cost below which a cut is made.",
        ),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="diffseg: how often one --threshold alone counts; 3 if left out.")
    ] = None,
    anchors: Annotated[int | None, typer.Option(help="diffseg: anchors a side.")] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="W", help="diffseg: repo, paper, or a number for each attention size.")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="diffseg: repo or disjoint.")] = None,
    refine: Annotated[bool | None, typer.Option("--refine/--no-refine", help="diffseg: refine by k-means.")] = None,
    half: Annotated[
        bool | None, typer.Option("--half", help="diffseg: compare in half precision, as the reference code.")
    ] = None,
    power: Annotated[float | None, typer.Option(help="ncut: the affinity is raised to it.")] = None,
    segments: Annotated[int | None, typer.Option(help="kmeans: how many segments.")] = None,
    of: Annotated[str | None, typer.Option(help="kmeans: cluster attention maps, or features.")] = None,
    method: Annotated[str | None, typer.Option(help="kmeans: kmeans, or spectral for features.")] = None,
    borders: Annotated[
        float, typer.Option(metavar="CELLS", help="How far borders may move to reach an edge of the photo, 0 to 4.")
    ] = 0.0,
    sweep: Annotated[
        str | None, typer.Option(metavar="T,T ...", help="diffseg: also draw the photo cut at each threshold.")
    ] = None,
    heat: Annotated[
        list[str] | None, typer.Option(metavar="X,Y", help="Also draw where this point attends to; repeat for more.")
    ] = None,
    names: Annotated[str | None, typer.Option(metavar="WORD,...", help="Words that segments may be called.")] = None,
    caption: Annotated[str | None, typer.Option(help="A sentence whose words segments may be called.")] = None,
    captioner: Annotated[
        str | None, typer.Option(metavar="MODEL", help="BLIP folder or hub id that writes the caption.")
    ] = None,
    margin: Annotated[float, typer.Option(help="Least lead of the best word, 0 to 1; below it no name.")] = 0.0,
    merge_names: Annotated[bool, typer.Option("--merge-names", help="Join segments of one name.")] = False,
    size: Annotated[int | None, typer.Option(help="Side of the network's input, pixels (of equal area).")] = None,
    fit: Annotated[
        str | None, typer.Option(help="stretch (the photo's shape), crop (the paper's square), pad.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="ncut: feature stage, such as down2.a1.self.")] = None,
    timestep: Timestep = None,
    noise: Annotated[
        bool | None, typer.Option("--noise/--no-noise", help="Add noise, or leave the photo clean.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What the model is told to see while cutting.")] = None,
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = None,
    store: Store = None,
    engine: Engine = "local",
    workers: Workers = None,
) -> None:
    """Cut photos into their parts, without training, prompt or number of classes.

    Writes for each photo an overlay (NAME_overlay.png), its labels (NAME_labels.png) and NAME.json with COCO masks,
    and for many a contact sheet (sheet.png). A run that was stopped goes on where it stood; files that cannot be read
    are listed at the end (exit code 1).
    """
    from .match import parse_point

    check_engine(engine, workers)
    jobs = collect(photos, out)
    check_writable(out)
    if stage is not None and solver == "diffseg":
        raise InvalidInput("--stage names features, which diffseg does not read; use ncut, or kmeans --of features")
    thresholds = _numbers(threshold, "--threshold")
    steps = _numbers(sweep, "--sweep")
    points = [parse_point(text, "--heat") for text in heat or []]
    settings = _settings(
        solver,
        preset,
        seed,
        threshold=thresholds,
        iterations=iterations,
        anchors=anchors,
        weights=weights,
        rule=rule,
        refine=refine,
        half=half,
        power=power,
        segments=segments,
        of=of,
        method=method,
    )
    swept = _swept(settings, steps) if steps else []
    if points and solver == "ncut":
        raise InvalidInput("--heat shows self-attention, which --solver ncut does not read; use diffseg or kmeans")
    if not 0 <= margin <= 1:
        raise InvalidInput(f"--margin {margin} does not suit; use 0 to 1")
    words = None if names is None else names.split(",")
    if captioner is not None and (caption is not None or names is not None):
        raise InvalidInput("--captioner says what names there are, as --caption and --names do; give one of them")
    if (margin or merge_names) and names is caption is captioner is None:
        raise InvalidInput("--margin and --merge-names need words; give --names, --caption or --captioner")

    from ..backbones.registry import load
    from ..segmentation.diffseg import DiffSegSettings
    from .segment_folder import Recipe, cut_all

    changes: dict[str, Any] = {
        "size": None if size is None else (size, size),
        "fit": fit,
        "stage": stage,
        "timestep": timestep,
        "noise": noise,
        "prompt": prompt,
        "seed": seed,
    }
    backbone = load(model, device=device, dtype=dtype)
    if isinstance(settings, DiffSegSettings) and preset is None and thresholds is None:
        settings = replace(settings, thresholds=(backbone.card.merge_threshold,) * len(settings.thresholds))
    naming: dict[str, Any] = {"names": words, "caption": caption, "margin": margin, "merge": merge_names}
    recipe = Recipe(
        model=model,
        device=device,
        dtype=dtype,
        solver=solver,
        settings=settings,
        borders=borders,
        store=store,
        changes=changes,
        naming=naming,
        captioner=captioner,
        swept=swept,
        points=points,
    )
    cutter = recipe.cutter(backbone)
    segmenter = cutter.segmenter
    segmenter.words(words, caption)
    facts = {
        "model": backbone.card.name,
        "weights": backbone.fingerprint,
        "solver": solver,
        "settings": asdict(segmenter.settings),
        "borders": borders,
        "reading": asdict(segmenter.reading),
        "naming": {**naming, "captioner": captioner},
        "sweep": steps,
        "heat": points,
    }
    failed = cut_all(jobs, out, cutter, json.loads(json.dumps(facts)), engine, workers)
    print(out)
    if failed:
        for line in failed:
            print(f"skipped: {line}")
        raise typer.Exit(1)


def _numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InvalidInput(f"{option} {text!r} is no list of numbers; write them as 0.3,0.2,0.1") from None


TAKES = {
    "diffseg": ("threshold", "iterations", "anchors", "weights", "rule", "refine", "half"),
    "ncut": ("threshold", "power"),
    "kmeans": ("segments", "of", "method"),
}
"""The options that each solver has."""


def _settings(solver: str, preset: str | None, seed: int, **options: Any) -> Settings:
    """The solver's settings: its preset, with what was given on the command line put in."""
    from ..segmentation import diffseg, ncut
    from ..segmentation.segmenter import KMeansSettings

    if solver not in TAKES:
        raise InvalidInput(f"unknown solver {solver!r}; use {', '.join(TAKES)}")
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in TAKES[solver]:
            raise InvalidInput(f"--{name} does not suit --solver {solver}, which takes --{', --'.join(TAKES[solver])}")
    known: dict[str, dict[str, Any]] = {"diffseg": {**diffseg.PRESETS}, "ncut": {**ncut.PRESETS}, "kmeans": {}}
    presets = known[solver]
    if preset is not None and preset not in presets:
        raise InvalidInput(f"unknown preset {preset!r} for {solver}; use {', '.join(presets) or 'none'}")
    if solver == "kmeans":
        return KMeansSettings(**given, seed=seed)
    thresholds = given.pop("threshold", None)
    if solver == "ncut":
        if thresholds is not None:
            if len(thresholds) != 1:
                raise InvalidInput(f"--threshold gives {len(thresholds)} numbers; ncut takes one")
            given["threshold"] = thresholds[0]
        return replace(presets[preset] if preset else ncut.NcutSettings(), **given)
    base = presets[preset] if preset else diffseg.DiffSegSettings()
    times = given.pop("iterations", None)
    if times is not None:
        if times < 1:
            raise InvalidInput(f"--iterations {times} is too few; use 1 or more")
        if preset or (thresholds is not None and len(thresholds) > 1):
            raise InvalidInput("--iterations says how often one threshold counts; leave out --preset and lists")
    if thresholds is not None:
        given["thresholds"] = thresholds * (times or 3) if len(thresholds) == 1 else thresholds
    elif times is not None:
        given["thresholds"] = base.thresholds[:1] * times
    if "weights" in given:
        text = given.pop("weights")
        given["weighting"] = text if text in ("repo", "paper") else _numbers(text, "--weights (repo, paper or numbers)")
    return replace(base, **given)


def _swept(settings: Settings, steps: tuple[float, ...]) -> list[DiffSegSettings]:
    from ..segmentation.diffseg import DiffSegSettings

    if not isinstance(settings, DiffSegSettings):
        raise InvalidInput("--sweep moves the threshold of diffseg; it does not suit another --solver")
    return [replace(settings, thresholds=(step,) * len(settings.thresholds)) for step in steps]
