from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffsight.benchmarks.baselines import RawPixels
from diffsight.benchmarks.warps import folder_warps, plane_score, run_warps, world_warps
from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.world import make_warp_pair


def test_gentle_warps_are_found_and_counted():
    pairs = world_warps(2, strength=0.02)
    results = run_warps(RawPixels((128, 128), 4), pairs)
    assert [result.matches > 10 for result in results] == [True, True]
    score = plane_score(results)
    assert score.homographies.pairs == 2
    assert score.right[0] <= score.right[1] <= score.right[2]
    assert score.right[2] > 50
    with pytest.raises(InvalidInput):
        plane_score([])


def test_a_folder_laid_out_as_hpatches(tmp_path):
    drawn = make_warp_pair(5, 64)
    for name in ("i_one", "v_two", "v_talent"):
        (tmp_path / name).mkdir()
        Image.fromarray(drawn.source).save(tmp_path / name / "1.ppm")
        Image.fromarray(drawn.target).save(tmp_path / name / "3.ppm")
        np.savetxt(tmp_path / name / "H_1_3", np.array([[1, 0, 2], [0, 2, 0], [0, 0, 1]]))
    pairs = folder_warps(tmp_path)
    assert [pair.group for pair in pairs] == ["i", "v"]
    # the first pixel's centre (0, 0) moves to (2, 0), and the rows double about it
    np.testing.assert_allclose(pairs[0].homography @ (0.5, 0.5, 1), (2.5, 0.5, 1))
    np.testing.assert_allclose(pairs[0].homography @ (0.5, 1.5, 1), (2.5, 2.5, 1))
    (tmp_path / "i_one" / "H_1_3").write_text("1 2 3")
    with pytest.raises(UnreadableFile, match="3x3"):
        folder_warps(tmp_path)
    with pytest.raises(InvalidInput, match="no pairs"):
        folder_warps(tmp_path / "i_one")
