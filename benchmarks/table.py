"""The table of ``make bench``, for people and for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLUMNS = (
    "what",
    "literal, s",
    "diffsight, s",
    "ratio",
    "GFLOP",
    "GFLOP/s",
    "of the machine's",
    "GB",
    "GB/s",
    "of the machine's",
    "added memory, literal, MiB",
    "diffsight, MiB",
    "largest difference",
)

HOW = (
    "GFLOP and GB are what the work needs at least (inputs read once, outputs written once), GFLOP/s and GB/s what "
    "diffsight reaches of it; the machine's are those of an fp32 matrix product and of a copy, from the same run."
)


def rates(part: dict[str, Any], machine: dict[str, float]) -> dict[str, float]:
    """What a part reaches, absolutely and as a share of the machine's; nothing where its work is not counted."""
    own = part["diffsight"]
    if "work" not in own:
        return {}
    speed, flow = (own["work"][kind] / own["seconds"] for kind in ("flops", "bytes"))
    return {
        "flops_per_second": speed,
        "share_of_products": speed / machine["float32"],
        "bytes_per_second": flow,
        "share_of_bandwidth": flow / machine["bandwidth"],
    }


def row(part: dict[str, Any]) -> str:
    """One line of the table."""
    slow, fast, reached = part["literal"], part["diffsight"], part["rates"]
    cells = [part["what"], f"{slow['seconds']:.3g}", f"{fast['seconds']:.3g}", f"**{part['ratio']:.3g}x**"]
    if reached:
        cells += [f"{fast['work']['flops'] / 1e9:.3g}", f"{reached['flops_per_second'] / 1e9:.3g}"]
        cells += [f"{reached['share_of_products']:.0%}", f"{fast['work']['bytes'] / 1e9:.2g}"]
        cells += [f"{reached['bytes_per_second'] / 1e9:.2g}", f"{reached['share_of_bandwidth']:.0%}"]
    else:
        cells += [""] * 6
    cells += [f"{slow['peak_mib']:.0f}", f"{fast['peak_mib']:.0f}", f"{part['largest_difference']:.2g}"]
    return f"| {' | '.join(cells)} |"


def markdown(report: dict[str, Any]) -> str:
    """The whole report: when, where and on what; parts with a literal side; what else was measured."""
    facts, machine = report["environment"], report["machine"]
    lines = ["# Speed and memory", "", *(f"- {name}: {value}" for name, value in facts.items() if value), ""]
    if machine:
        half = f"at {machine['bfloat16'] / 1e9:.0f} in bf16" if "bfloat16" in machine else "not in bf16 by itself"
        lines += [
            f"The machine multiplies matrices at {machine['float32'] / 1e9:.0f} GFLOP/s in fp32 and {half}, on two "
            f"threads, and copies at {machine['bandwidth'] / 1e9:.1f} GB/s (read and written). {HOW}",
            "",
        ]
    if report["parts"]:
        lines += [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}", *map(row, report["parts"].values()), ""]
    notes = [
        (f"{name}: {note}", value) for name, part in report["parts"].items() for note, value in part["notes"].items()
    ]
    notes += [(f"{name}: {note}", value) for name, part in report["alone"].items() for note, value in part.items()]
    if notes:
        lines += ["| besides | |", "|---|---|", *(f"| {what} | {value:.3g} |" for what, value in notes), ""]
    return "\n".join(lines)


def save(report: dict[str, Any], text: Path) -> None:
    """Write the table, and beside it the same as JSON."""
    from diffsight.files import save_bytes, save_json

    save_bytes(markdown(report).encode(), text)
    save_json(report, text.with_suffix(".json"))
