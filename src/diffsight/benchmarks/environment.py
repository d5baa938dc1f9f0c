"""Where and when figures came about, for the record."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("diffsight", "torch", "diffusers", "transformers", "numpy", "scipy", "opencv-python-headless")


def environment() -> dict[str, str]:
    """Date, machine, versions, commit (where the package runs from a checkout) and command line."""
    import torch

    facts = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "command": " ".join(sys.argv)}
    facts |= {"hardware": f"{platform.machine()}, {torch.get_num_threads()} threads, {_processor()}"}
    if torch.cuda.is_available():
        facts["hardware"] += f", {torch.cuda.get_device_name()}"
    facts |= {"python": platform.python_version(), "commit": _commit()}
    return facts | {package: version(package) for package in PACKAGES}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")


def _commit() -> str:
    """The commit of the checkout that this file lies in, with a plus where it was changed since; or ``released``."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        if not git("ls-files", Path(__file__).name):
            return "released"
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "released"
