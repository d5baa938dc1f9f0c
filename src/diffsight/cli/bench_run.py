"""``diffsight bench run``, ``score`` and ``merge``: benchmarks from their folders to their tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..engine import Loaded, check_engine
from ..errors import InvalidInput
from ..files import save_json
from .options import Device, Dtype, Engine, Ensemble, Model, Seed, Side, Stage, Timestep, Workers

if TYPE_CHECKING:
    from ..benchmarks.summary import Summary

Root = Annotated[Path, typer.Option(help="The benchmark's folder.")]
Split = Annotated[str | None, typer.Option(help="Which part of it; the usual one if left out.")]


SIDE_BY_SIDE = 4
"""Metrics that fit beside each other on a line."""


def register(bench: typer.Typer) -> None:
    """Add the commands."""
    bench.command("run")(run)
    bench.command("merge")(merge)
    bench.command("score")(score)


def run(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK", help="A name from `diffsight data list`.")],
    root: Root,
    out: Annotated[Path, typer.Option(help="Folder of the run; goes on where it stands.")],
    split: Split = None,
    model: Model = "pocket",
    method: Annotated[str | None, typer.Option(help="How; the usual one of the kind if left out.")] = None,
    untrained: Annotated[bool, typer.Option("--untrained", help="The same network with random weights.")] = False,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of prompts.")
    ] = None,
    subset: Annotated[int | None, typer.Option(help="Run so many samples, drawn at random.")] = None,
    subset_seed: Annotated[int, typer.Option(help="Of that draw.")] = 0,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Run the I-th of N parts.")] = None,
    skip_missing: Annotated[bool, typer.Option("--skip-missing", help="Leave out samples whose files lack.")] = False,
    stage: Stage = None,
    timestep: Timestep = None,
    ensemble: Ensemble = None,
    size: Side = None,
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = None,
    engine: Engine = "local",
    workers: Workers = None,
) -> None:
    """Predict every sample of a benchmark and keep the predictions, to be scored by any protocol.

    Kill it at any moment; the same command goes on where it stood.
    """
    check_engine(engine, workers)
    part = _shard(shard)
    if subset is not None and subset < 1:
        raise InvalidInput(f"--subset {subset} is too few; use 1 or more, or leave it out for all")
    from ..benchmarks.environment import environment
    from ..benchmarks.runs import Run, digest_of, shard_of, subset_of
    from ..benchmarks.systems import METHODS, SystemRecipe
    from ..datasets import benchmark as named
    from ..datasets import present

    own = named(benchmark)
    all_samples = own.samples(root, split)
    samples = present(own, all_samples, skip=skip_missing)
    changes: dict[str, Any] = {"stage": stage, "timestep": timestep, "ensemble": ensemble, "seed": seed or None}
    changes["size"] = None if size is None else (size, size)
    given = {name: value for name, value in changes.items() if value is not None}
    recipe = SystemRecipe(own.kind, model, method, untrained, device, dtype, given, tuple(change or ()))
    system, backbone = recipe.load()
    gpus = 1 if backbone is not None and backbone.device.type == "cuda" else 0
    chosen = subset_of(samples, subset, subset_seed)
    config = {
        "benchmark": own.name,
        "split": split or own.splits[0],
        "root": str(root.absolute()),
        "model": "none" if backbone is None else f"untrained {model}" if untrained else model,
        "fingerprint": backbone.fingerprint if backbone else None,
        "method": method or METHODS[own.kind][0],
        "settings": system.settings,
        "subset": None if subset is None else [subset, subset_seed],
        "missing": len(all_samples) - len(samples),
        "samples": len(chosen),
        "digest": digest_of(chosen),
        "shard": part,
    }
    folder = Run(out, config)
    loaded = Loaded(system, recipe)
    folder.complete(loaded, shard_of(chosen, part), engine=engine, workers=workers, gpus=gpus)
    save_json(environment(), out / "environment.json")
    print(f"{out}: {own.title}, {len(shard_of(chosen, part))} samples; score it by: diffsight bench score {out}")


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = (int(own) for own in found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise InvalidInput(f"--shard {text} does not suit; use 1/4 for the first of four parts")
    return number, count


def merge(
    shards: Annotated[list[Path], typer.Argument(metavar="RUN...", help="The finished shards of one run.")],
    out: Annotated[Path, typer.Option(help="Folder of the whole run.")],
) -> None:
    """Put the shards of a run together, as if it had run in one piece."""
    from ..benchmarks.environment import environment
    from ..benchmarks.runs import merge as merge_runs

    merge_runs(shards, out)
    save_json(environment(), out / "environment.json")
    print(f"{out}: merged from {len(shards)} shards; score it by: diffsight bench score {out}")


def score(
    folder: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A finished run.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Predictions of any system, in the plain format, instead.")
    ] = None,
    benchmark: Annotated[str | None, typer.Option(help="Whose samples those are.")] = None,
    root: Annotated[Path | None, typer.Option(help="The benchmark's folder, if not where the run found it.")] = None,
    split: Split = None,
    protocol: Annotated[str | None, typer.Option(help="Whose switches are meant; the usual one if left out.")] = None,
    origin: Annotated[str, typer.Option(help="What (0, 0) is in the plain format: centre or corner.")] = "centre",
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Take missing and unusable predictions as wrong.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="What to call the system in reports.")] = None,
) -> None:
    """Score a run, or any system's predictions; prints every flavour of the metric with its switches.

    Writes summary.json and scores.parquet into the folder.
    """
    if (folder is None) == (predictions is None):
        raise InvalidInput("give a run to score, or --predictions DIR with --benchmark and --root")
    if predictions is not None and (benchmark is None or root is None):
        raise InvalidInput("--predictions needs --benchmark NAME and --root DIR, whose samples they are")
    from ..benchmarks.environment import environment
    from ..benchmarks.predictions import load_folder, load_run
    from ..benchmarks.protocols import protocol as protocol_named
    from ..benchmarks.runs import asked, digest_of, load_config, save_scores
    from ..benchmarks.scoring import score as score_predictions
    from ..datasets import benchmark as named

    if folder is not None:
        config = load_config(folder)
        own = named(config["benchmark"])
        samples = asked(config, own.samples(Path(config["root"]) if root is None else root, config["split"]))
        found = load_run(folder, own.kind, samples)
        out = folder
    else:
        assert predictions is not None  # all three are checked above
        assert benchmark is not None
        assert root is not None
        own = named(benchmark)
        samples = own.samples(root, split)
        found = load_folder(predictions, own.kind, samples, origin)
        out = predictions
        config = {
            "benchmark": own.name,
            "split": split or own.splits[0],
            "root": str(root.absolute()),
            "model": name or predictions.name,
            "method": "predictions",
            "samples": len(samples),
            "digest": digest_of(samples),
        }
        save_json(config, out / "config.json")
        save_json(environment(), out / "environment.json")
    rules = protocol_named(own.name, protocol)
    summary, rows = score_predictions(own.name, config["split"], rules, samples, found, allow_missing=allow_missing)
    summary.save(out / "summary.json")
    save_scores(rows, out / "scores.parquet")
    _show(summary)


def _show(summary: Summary) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    title = f"{summary.benchmark}, {summary.split}, {summary.samples} samples"
    figures = sorted(summary.figures, key=lambda own: not own.main)
    values = {
        (own.metric, own.switches): f"[bold]{own.value:.1f}[/bold]" if own.main else f"{own.value:.1f}"
        for own in figures
    }
    metrics = list(dict.fromkeys(figure.metric for figure in summary.figures))
    if len(metrics) <= SIDE_BY_SIDE:
        table = Table("switches", *metrics, title=title, title_justify="left")
        for switches in dict.fromkeys(figure.switches for figure in figures):
            table.add_row(switches, *(values.get((metric, switches), "") for metric in metrics))
    else:
        table = Table("metric", "switches", "value", title=title, title_justify="left")
        for (metric, switches), value in values.items():
            table.add_row(metric, switches, value)
    console.print(table)
    for reason, count in summary.skipped:
        console.print(f"{count} x {reason}")
    meant = ", ".join(f"{figure.metric} {figure.value:.1f}" for figure in summary.main)
    console.print(f"by the protocol {summary.protocol}: {meant}")
