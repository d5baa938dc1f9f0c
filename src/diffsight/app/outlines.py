"""The parts of a photo as SVG that lies over it: each can be pointed at, clicked, and reached by key."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..draw import outline_path, segment_colours, thickest
from ..types import Segmentation

COARSE = 4
"""Every such row and column is looked at to find where a name goes."""

TOLERANCE = 1.0
"""How far an outline may lie from the border of its part, pixels of the photo."""


def outlines(found: Segmentation, lines: Sequence[str], clicks: str) -> str:
    """Draw each part as a path with a line of text, in pixels of the photo.

    Args:
        found: the parts.
        lines: what is said of each.
        clicks: what clicks mean; the path's style and the page's script go by it.
    """
    height, width = found.labels.shape
    shapes, names = [], []
    for i, (line, colour) in enumerate(zip(map(escape, lines), segment_colours(len(found)), strict=True)):
        x, y = (COARSE * place for place in thickest(found.mask(i)[::COARSE, ::COARSE]))
        shapes.append(
            f'<path d="{outline_path(found.mask(i), 1.0, TOLERANCE)}" style="--own: rgb{colour}" role="button" '
            f'tabindex="{i and -1}" '
            f'aria-pressed="false" aria-label="{line}" data-x="{x / width:.4f}" data-y="{y / height:.4f}">'
            f"<title>{line}</title></path>"
        )
        if found.names and found.names[i]:
            names.append(f'<text x="{x:g}" y="{y:g}">{escape(found.names[i])}</text>')
    return (
        f'<svg viewBox="0 0 {width} {height}" data-clicks="{clicks}" role="group" aria-label="Parts of the photo" '
        f'font-size="{max(width, height) / 36:.1f}">{"".join(shapes)}<g aria-hidden="true">{"".join(names)}</g></svg>'
    )
