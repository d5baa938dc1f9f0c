from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffsight.benchmarks.baselines import RawPixels
from diffsight.benchmarks.warps import folder_warps, plane_score, run_warps, world_warps
from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.grid import centre_matrix
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
    for name in ("i_one", "v_two", "three"):
        (tmp_path / name).mkdir()
        Image.fromarray(drawn.source).save(tmp_path / name / "1.png")
        Image.fromarray(drawn.target).save(tmp_path / name / "3.png")
        np.savetxt(tmp_path / name / "H_1_3", centre_matrix(drawn.homography))
    pairs = folder_warps(tmp_path)
    assert [pair.group for pair in pairs] == ["illumination", "all", "viewpoint"]
    np.testing.assert_allclose(pairs[1].homography, drawn.homography, atol=1e-9)
    np.testing.assert_array_equal(pairs[1].target.array(), drawn.target)
    (tmp_path / "i_one" / "H_1_3").write_text("1 2 3")
    with pytest.raises(UnreadableFile, match="3x3"):
        folder_warps(tmp_path)
    with pytest.raises(InvalidInput, match="no pairs"):
        folder_warps(tmp_path / "i_one")
    with pytest.raises(UnreadableFile, match="no folder"):
        folder_warps(tmp_path / "i_two")
