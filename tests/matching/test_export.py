from __future__ import annotations

import numpy as np
import pytest

from diffsight.errors import InvalidInput
from diffsight.matching.export import save_colmap
from diffsight.types import Matches


def test_colmap_text_leads_back_to_the_points(tmp_path):
    rng = np.random.default_rng(0)
    here, there = rng.uniform(0, 90, (7, 2)).round(3), rng.uniform(0, 90, (5, 2)).round(3)
    matches = Matches(here[[6, 0]], there[[1, 4]], np.ones(2))
    save_colmap(tmp_path, ("a.jpg", "b.jpg"), (here, there), matches)
    for name, points in (("a.jpg", here), ("b.jpg", there)):
        first, *rows = (tmp_path / f"{name}.txt").read_text().splitlines()
        assert first.split() == [str(len(points)), "128"]
        table = np.array([row.split() for row in rows], float)
        assert table.shape == (len(points), 4 + 128)
        np.testing.assert_allclose(table[:, :2], points)
    assert (tmp_path / "matches.txt").read_text() == "a.jpg b.jpg\n6 1\n0 4\n\n"
    assert (tmp_path / "pairs.txt").read_text() == "a.jpg b.jpg\n"


def test_photos_of_one_name_are_refused(tmp_path):
    none = np.empty((0, 2))
    with pytest.raises(InvalidInput, match="both photos are called"):
        save_colmap(tmp_path, ("a.jpg", "a.jpg"), (none, none), Matches(none, none, np.empty(0)))
