"""Speed and memory against the literal formulations, each pair in one run: ``make bench``.

Each side runs in a process of its own, in fp32 on two threads: matching several times (the median counts), extraction
once. Peak memory is what the work adds. The table is written as markdown and JSON (``--out FILE.md``), again after
every part; ``--only NAME`` (repeatable) runs single parts.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import table
from alone import PASSES, loading, one_pass, start_up, steady
from folder import folder
from machine import hardware, machine
from parts import capture, extraction, matching, segmentation
from prompt import prompt_rows, prompting
from running import running
from sampling import sampling
from scoring import scoring
from transferring import transferring
from video import propagation

PARTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "matching": matching,
    "segmentation": segmentation,
    "capture": capture,
    "extraction": extraction,
    "sampling": sampling,
    "prompt_rows": prompt_rows,
    "prompting": prompting,
    "propagation": propagation,
    "folder": folder,
    "scoring": scoring,
}

ALONE: dict[str, Callable[[], dict[str, float]]] = {
    "loading": loading,
    "start": start_up,
    "steady": steady,
    "running": running,
    "transferring": transferring,
}
"""What has no literal side."""


def _in_child(name: str, which: str, pipe: Any) -> None:
    if name == "machine":
        pipe.send(machine())
    elif name in ALONE:
        pipe.send(ALONE[name]())
    else:
        pipe.send(PARTS[name](which) if name in PARTS else one_pass(name))


def isolated(name: str, which: str = "fast") -> dict[str, Any]:
    """Run one side of a comparison in a fresh process.

    Raises:
        SystemExit: if it dies, as it does when memory runs out.
    """
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_in_child, args=(name, which, send))
    child.start()
    send.close()
    try:
        result = receive.recv()
    except EOFError:
        child.join()
        raise SystemExit(f"{name}, {which}: its process died (exit code {child.exitcode}; -9: out of memory)") from None
    child.join()
    return dict(result)


def compared(name: str) -> dict[str, Any]:
    """Both sides of a part, and how far their answers are apart."""
    import numpy as np

    slow, fast = isolated(name, "literal"), isolated(name)
    one, two = np.array(slow.pop("answer")), np.array(fast.pop("answer"))
    slow.pop("notes", None)
    slow.pop("work", None)
    return {
        "what": PARTS[name].__doc__,
        "notes": fast.pop("notes", {}),
        "literal": slow,
        "diffsight": fast,
        "ratio": slow["seconds"] / fast["seconds"],
        "largest_difference": float(np.abs(one - two).max()),
    }


def passes() -> dict[str, float]:
    """A pass of every network: seconds and memory."""
    figures = {}
    for name in PASSES:
        found = isolated(name)
        figures |= {f"{name}, seconds": found["seconds"], f"{name}, MiB": found["peak_mib"]}
    return figures


def main() -> None:
    """Run the comparisons and write one table."""
    from diffsight.benchmarks.environment import environment

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=[*PARTS, *ALONE, "passes"])
    parser.add_argument("--out", type=Path, default=Path("bench/table.md"), help="FILE.md; FILE.json beside it")
    options = parser.parse_args()
    chosen = options.only or [*PARTS, *ALONE, "passes"]
    report: dict[str, Any] = {"environment": environment() | hardware(), "machine": isolated("machine")}
    report |= {"parts": {}, "alone": {}}
    for name in chosen:
        if name in PARTS:
            part = compared(name)
            report["parts"][name] = {**part, "rates": table.rates(part, report["machine"])}
        else:
            report["alone"][name] = passes() if name == "passes" else isolated(name)
        table.save(report, options.out)
    print(table.markdown(report))


if __name__ == "__main__":
    main()
