from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffsight.benchmarks.baselines import RawPixels
from diffsight.benchmarks.metrics import pck
from diffsight.benchmarks.pairs import KeypointPair, csv_pairs, run_pairs, world_pairs
from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.world import categories


def test_pairs_are_the_same_each_time_and_cover_every_category():
    first, again = world_pairs(2), world_pairs(2)
    assert [pair.category for pair in first] == [kind for kind in categories() for _ in range(2)]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.query, b.query)
        assert a.source.image.equal(b.source.image)
        assert len(a.query) == len(a.truth)
        assert 0 < a.threshold <= 128


def test_raw_pixels_find_a_picture_in_itself_and_little_in_another():
    pairs = world_pairs(4)
    raw = RawPixels((64, 64), 4)
    same = [KeypointPair(p.category, p.source, p.source, p.query, p.query, p.threshold) for p in pairs]
    assert pck(run_pairs(raw, raw.card.tasks["semantic"], same), 0.1).per_point > 70
    assert pck(run_pairs(raw, raw.card.tasks["semantic"], pairs), 0.1).per_point < 25


@pytest.mark.parametrize("header", ["image,eye_x,eye_y,eye_visible,nose_x,nose_y,nose_visible", "image,x0,y0,x1,y1"])
def test_tables_of_keypoints(tmp_path, header):
    marks = header.count("visible") > 0
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    rows = [(n, 1, 2, 0, 11, 22, 1) if marks else (n, 1, 2, 11, 22) for n in ("a.png", "b.png", "c.png")]
    (tmp_path / "table.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    pairs = csv_pairs(tmp_path / "table.csv", 5)
    assert len(pairs) == 5
    for pair in pairs:
        assert pair.source.path != pair.target.path
        assert pair.query.tolist() == ([] if marks else [[1, 2], [11, 22]])  # one visible point has no extent
        assert marks or pair.threshold == 20


def test_bad_tables_are_named(tmp_path):
    with pytest.raises(UnreadableFile, match="cannot read keypoints"):
        csv_pairs(tmp_path / "missing.csv", 1)
    for text in ("", "image,x0,y0\na.png,1,2\n", "image,a,b\na,1,2\nb,1,2\n", "image,x0,y0\na,1,z\nb,1,2\n"):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(InvalidInput, match=r"bad\.csv"):
            csv_pairs(tmp_path / "bad.csv", 1)
