"""diffsight bench run, score, merge: benchmarks from their folders to their tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidInput
from ..files import save_json
from .options import Device, Dtype, Ensemble, Model, Seed, Side, Stage, Timestep

Root = Annotated[Path, typer.Option(help="The benchmark's folder.")]
Split = Annotated[str | None, typer.Option(help="Which part of it; the usual one if left out.")]


def register(bench: typer.Typer) -> None:
    """Add the commands."""
    bench.command("run")(run)
    bench.command("merge")(merge)


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
) -> None:
    """Predict every sample of a benchmark and keep the predictions, to be scored by any protocol.

    Kill it at any moment; the same command goes on where it stood.
    """
    part = _shard(shard)
    if subset is not None and subset < 1:
        raise InvalidInput(f"--subset {subset} is too few; use 1 or more, or leave it out for all")
    from ..benchmarks.environment import environment
    from ..benchmarks.runs import Run, digest_of, shard_of, subset_of
    from ..benchmarks.systems import METHODS, load_system
    from ..datasets import benchmark as named
    from ..datasets import present

    own = named(benchmark)
    all_samples = own.samples(root, split)
    samples = present(own, all_samples, skip=skip_missing)
    changes: dict[str, Any] = {"stage": stage, "timestep": timestep, "ensemble": ensemble, "seed": seed or None}
    changes["size"] = None if size is None else (size, size)
    given = {name: value for name, value in changes.items() if value is not None}
    system, backbone = load_system(
        own.kind,
        model,
        method,
        untrained=untrained,
        device=device,
        dtype=dtype,
        changes=given,
        prompt_changes=change or [],
    )
    chosen = subset_of(samples, subset, subset_seed)
    config = {
        "benchmark": own.name,
        "split": split or own.splits[0],
        "root": str(root.absolute()),
        "model": f"untrained {model}" if untrained else model,
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
    folder.complete(system, shard_of(chosen, part))
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
