"""What ``import diffsight`` offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from .backbones.base import Backbone
from .backbones.registry import load
from .images import load_picture
from .matching.matcher import Matcher
from .probe import Probe
from .types import Matches

__all__ = ["Matcher", "Probe", "load", "load_picture", "match"]


def match(
    source: Any,
    target: Any,
    points: npt.ArrayLike | None = None,
    *,
    model: Backbone | str | Path = "pocket",
    task: str = "semantic",
    **changes: Any,
) -> Matches:
    """Find points of one photo in another, in one call.

    Args:
        source: the photo that the points lie in: path, PIL image, array or tensor.
        target: the photo to search.
        points: (N, 2) as (x, y) in pixels of the source, pixel centres at +0.5; left out, up to 12 well-spread mutual
            points are chosen.
        model: a loaded backbone, or what ``load`` takes.
        task: ``semantic``, ``geometric`` or ``temporal``.
        **changes: ``device``, ``dtype``, ``store``, and single settings that replace the task's, as for ``Matcher``.

    Raises:
        InvalidInput: for a point outside the photo, an unknown model, task or setting.
        UnreadableFile: for a photo that cannot be read.
        ModelUnavailable: if the weights cannot be had.
    """
    matcher = Matcher(model, task=task, **changes)
    return matcher.match(matcher.source(source, points), target)
