"""``diffsight doctor``: what will work on this machine, and what will not."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

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

    console = Console(highlight=False, markup=False)  # reasons may hold brackets
    _print_facts(console, report)
    if report.devices:
        _print_devices(console, report.devices)
    _print_parts(console, report.parts)
    for conclusion in report.conclusions:
        console.print("ok " if conclusion.works else "no ", style="green" if conclusion.works else "red", end="")
        console.print(conclusion.text, soft_wrap=True)


def _print_facts(console: Console, report: Report) -> None:
    from rich.table import Table

    table = Table(show_header=False)
    table.add_row("diffsight", f"{report.diffsight}, Python {report.python}, {report.system}")
    if build := report.torch:
        kind = f"CUDA {build.cuda}" if build.cuda else f"ROCm {build.rocm}" if build.rocm else "CPU only"
        table.add_row("torch", f"{build.version}, built for {kind}, {build.threads} of {build.processors} threads")
    table.add_row("memory", f"{_size(report.memory.free)} free of {_size(report.memory.total)}")
    if hub := report.hub:
        table.add_row("hub cache", f"{hub.cache} ({'can' if hub.writable.works else 'cannot'} be written)")
        table.add_row("hub", "not asked: offline" if hub.offline else "asked for weights that are not cached")
        table.add_row("cached", ", ".join(hub.cached) or "nothing")
        for name, value in hub.variables.items():
            table.add_row(name, value)
    for disk in report.disks:
        table.add_row(f"disk for {disk.use}", f"{_size(disk.free)} free at {disk.path}")
    table.add_row("models here", ", ".join(model.name for model in report.models if model.here))
    console.print(table)


def _print_devices(console: Console, devices: tuple[DeviceReport, ...]) -> None:
    from rich.table import Table

    table = Table("device", "memory free", "number format", "works", "does not", "attention kernels")
    for device in devices:
        for form in device.formats:
            works, fails = _names(form.operations, True), _names(form.operations, False)
            title = f"{device.name} ({device.about})" if form is device.formats[0] else ""
            free = _size(device.memory.free) if title else ""
            dtype = f"{form.dtype} (default)" if form.dtype == device.default else form.dtype
            table.add_row(title, free, dtype, works, fails, _names(form.kernels, True))
    console.print(table)


def _print_parts(console: Console, parts: tuple[PartReport, ...]) -> None:
    from rich.table import Table

    table = Table("package", "version", "state", "needed", "for", "note")
    for part in parts:
        table.add_row(part.package, part.version, part.state, "yes" if part.needed else "no", part.use, part.note)
    console.print(table)


def _names(trials: tuple[Trial, ...], works: bool) -> str:
    return ", ".join(trial.what for trial in trials if trial.works == works) or "-"


def _size(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 1e9:.1f} GB"
