from __future__ import annotations

import sys

import h5py
import numpy as np
import pytest

from diffsight.errors import InvalidInput
from diffsight.matching.export import Side, save_colmap, save_hloc
from diffsight.types import Matches


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    here, there = rng.uniform(0, 90, (7, 2)).round(3), rng.uniform(0, 90, (5, 2)).round(3)
    matches = Matches(here[[6, 0]], there[[1, 4]], np.array([0.75, 0.5]))
    return Side("a.jpg", (90, 120), here), Side("b.jpg", (91, 100), there), matches


def test_colmap_text_leads_back_to_the_points(tmp_path, pair):
    save_colmap(tmp_path, *pair)
    for side in pair[:2]:
        first, *rows = (tmp_path / f"{side.name}.txt").read_text().splitlines()
        assert first.split() == [str(len(side.keypoints)), "128"]
        table = np.array([row.split() for row in rows], float)
        assert table.shape == (len(side.keypoints), 4 + 128)
        np.testing.assert_allclose(table[:, :2], side.keypoints)
    assert (tmp_path / "matches.txt").read_text() == "a.jpg b.jpg\n6 1\n0 4\n\n"


def test_hloc_reads_the_same_matches(tmp_path, pair):
    """Read as hloc's ``utils/io.py`` and ``triangulation.py`` do: a pair by its two names, half a pixel added."""
    save_hloc(tmp_path, *pair)
    source, target, matches = pair
    (names,) = ((tmp_path / "pairs.txt").read_text().splitlines()[0].split(),)
    assert names == ["a.jpg", "b.jpg"]
    with h5py.File(tmp_path / "features.h5") as features, h5py.File(tmp_path / "matches.h5") as file:
        assert set(features) == {"a.jpg", "b.jpg"}
        a, b = (features[name]["keypoints"].__array__() + 0.5 for name in names)
        assert features["a.jpg"]["image_size"].__array__().tolist() == [120, 90]
        group = file["/".join(names)]
        forward, scores = group["matches0"].__array__(), group["matching_scores0"].__array__()
    assert a.dtype == np.float32
    np.testing.assert_allclose(a, source.keypoints, atol=1e-5)
    np.testing.assert_allclose(b, target.keypoints, atol=1e-5)
    known = np.flatnonzero(forward != -1)
    assert known.tolist() == [0, 6]
    np.testing.assert_allclose(a[known], matches.query[[1, 0]], atol=1e-5)
    np.testing.assert_allclose(b[forward[known]], matches.matched[[1, 0]], atol=1e-5)
    np.testing.assert_allclose(scores, [0.5, 0, 0, 0, 0, 0, 0.75])


@pytest.mark.parametrize("save", [save_colmap, save_hloc])
def test_photos_of_one_name_are_refused(tmp_path, pair, save):
    with pytest.raises(InvalidInput, match="both photos are called a.jpg"):
        save(tmp_path, pair[0], pair[0], pair[2])


def test_without_h5py_one_line_says_so(tmp_path, pair, monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "h5py")
    with pytest.raises(InvalidInput, match=r"pip install 'diffsight\[hdf5\]'"):
        save_hloc(tmp_path, *pair)
    assert not list(tmp_path.iterdir())
