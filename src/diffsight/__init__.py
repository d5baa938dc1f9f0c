"""diffsight lets a frozen image-diffusion model see: it matches points between photos and finds their parts.

>>> import diffsight
>>> matches = diffsight.match("a.jpg", "b.jpg", [(120, 80)])
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load": "api",
    "match": "api",
    "align": "api",
    "annotate": "api",
    "open_reader": "api",
    "read_annotations": "api",
    "edit": "api",
    "segment": "api",
    "track": "api",
    "draw_segments": "api",
    "save_segments": "api",
    "load_picture": "api",
    "Matcher": "api",
    "Aligner": "api",
    "Captioner": "api",
    "EditSettings": "api",
    "Editor": "api",
    "Segmenter": "api",
    "Tracker": "api",
    "Transfer": "api",
    "Probe": "api",
    "DiffsightError": "errors",
    "InvalidInput": "errors",
    "ModelUnavailable": "errors",
    "OutputFailed": "errors",
    "UnreadableFile": "errors",
    "Alignment": "matching.homography",
    "AnnotatedPhoto": "transfer.annotations",
    "Annotations": "transfer.annotations",
    "Edit": "editing",
    "Matches": "types",
    "Picture": "types",
    "Reading": "types",
    "Segmentation": "types",
    "Taps": "types",
    "Track": "types",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that ``import diffsight`` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'diffsight' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
