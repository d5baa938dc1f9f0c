"""Matches as rows of a table, as ``matches.csv`` and ``matches.json`` hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..types import Matches

COLUMNS = ("target", "point", "rank", "x", "y", "matched_x", "matched_y", "score", "confidence", "mutual")


def match_row(target: str, point: int, matches: Matches, rank: int = 1) -> dict[str, Any]:
    """One match as a row.

    Args:
        target: path or name of the photo that was searched.
        point: its number, from 1.
        matches: the places of that point, best first.
        rank: which of them, from 1.
    """
    one = rank - 1
    return {
        "target": target,
        "point": point,
        "rank": rank,
        "x": round(float(matches.query[one, 0]), 3),
        "y": round(float(matches.query[one, 1]), 3),
        "matched_x": float(matches.matched[one, 0]),
        "matched_y": float(matches.matched[one, 1]),
        "score": round(float(matches.score[one]), 5),
        "confidence": None if matches.confidence is None else round(float(matches.confidence[one]), 4),
        "mutual": None if matches.mutual is None else bool(matches.mutual[one]),
    }
