"""``diffsight doctor``: what will work on this machine, and what will not."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from .tables import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..doctor.devices import DeviceReport
    from ..doctor.parts import PartReport
    from ..doctor.report import Report
    from ..doctor.trials import Trial


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print all that was found out as JSON.")] = False,
) -> None:
    """Try what this machine can do, and say what will work; the network is not asked.

    Exit code 0 if the bundled model works on the CPU, else 1.
    """
    from ..doctor.report import examine

    with redirect_stdout(sys.stderr):  # what packages say while they are imported is no part of the answer
        report = examine()
    if as_json:
        print(json.dumps(asdict(report), indent=2))
    else:
        _print(report)
    if not report.works:
        raise typer.Exit(1)


def _print(report: Report) -> None:
    from rich.console import Console

    print_table(("", ""), _facts(report))
    print()
    print_table(("device", "number format", "does not work", "attention kernels"), _formats(report.devices))
    print()
    print_table(("package", "version", "state", "for"), map(_part, report.parts))
    print()
    console = Console(highlight=False, markup=False)  # reasons may hold brackets
    for conclusion in report.conclusions:
        console.print("ok " if conclusion.works else "no ", style="green" if conclusion.works else "red", end="")
        console.print(conclusion.text, soft_wrap=True)


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield "diffsight", f"{report.diffsight}, Python {report.python}, {report.system}"
    if build := report.torch:
        kind = f"CUDA {build.cuda}" if build.cuda else f"ROCm {build.rocm}" if build.rocm else "CPU only"
        yield "torch", f"{build.version}, built for {kind}, {build.threads} of {build.processors} threads"
    yield "memory", f"{_size(report.memory.free)} free of {_size(report.memory.total)}"
    if hub := report.hub:
        yield "hub cache", f"{hub.cache} ({'can' if hub.writable.works else 'cannot'} be written)"
        yield "hub", "not asked: offline" if hub.offline else "asked for weights that are not cached"
        yield "cached", ", ".join(hub.cached) or "nothing"
        yield from hub.variables.items()
    for disk in report.disks:
        yield f"disk for {disk.use}", f"{_size(disk.free)} free at {disk.path}"
    yield "models here", ", ".join(model.name for model in report.models if model.here)


def _formats(devices: tuple[DeviceReport, ...]) -> Iterator[tuple[str, str, str, str]]:
    for device in devices:
        for form in device.formats:
            title = f"{device.name} ({device.about}), {_size(device.memory.free)} free"
            dtype = f"{form.dtype} (default)" if form.dtype == device.default else form.dtype
            first = title if form is device.formats[0] else ""
            yield first, dtype, _names(form.operations, False), _names(form.kernels, True)


def _part(part: PartReport) -> tuple[str, str, str, str]:
    state = part.state if part.needed else f"{part.state}, not needed"
    return part.package, part.version, state, f"{part.use} ({part.note})" if part.note else part.use


def _names(trials: tuple[Trial, ...], works: bool) -> str:
    return ", ".join(trial.what for trial in trials if trial.works == works) or "-"


def _size(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 1e9:.1f} GB"
