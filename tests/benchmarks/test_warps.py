from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from diffsight.benchmarks.baselines import RawPixels
from diffsight.benchmarks.warps import folder_warps, plane_score, run_warps, world_warps
from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.grid import centre_matrix
from diffsight.matching.aligner import Aligner
from diffsight.world import make_warp_pair


def test_gentle_warps_are_found_and_counted():
    pairs = world_warps(2, strength=0.02)
    results = run_warps(RawPixels((128, 128), 4), pairs)
    assert [result.matches > 10 for result in results] == [True, True]
    score = plane_score(results)
    assert score.homographies.pairs == 2
    assert score.right == tuple(sorted(score.right))
    assert score.corners == np.mean([result.corners for result in results])
    assert score.right[2] > 50
    with pytest.raises(InvalidInput):
        plane_score([])


def test_a_photo_that_pairs_share_is_read_once(monkeypatch):
    pair = world_warps(1, strength=0.02)[0]
    seen = []
    view = Aligner.view
    monkeypatch.setattr(Aligner, "view", lambda own, photo: seen.append(photo) or view(own, photo))
    again = replace(pair, target=pair.source, homography=np.eye(3))
    results = run_warps(RawPixels((128, 128), 4), [pair, again])
    assert [id(photo) for photo in seen] == [id(pair.source), id(pair.target), id(pair.source)]
    assert results[1].corners < 1e-3


def test_a_folder_laid_out_as_hpatches(tmp_path):
    drawn = make_warp_pair(5, 64)
    for name in ("i_one", "v_two", "three"):
        (tmp_path / name).mkdir()
        Image.fromarray(drawn.source).save(tmp_path / name / "1.png")
        Image.fromarray(drawn.target).save(tmp_path / name / "3.png")
        np.savetxt(tmp_path / name / "H_1_3", centre_matrix(drawn.homography))
    pairs = folder_warps(tmp_path)
    assert [(pair.group, pair.name) for pair in pairs] == [
        ("illumination", "i_one-3"),
        ("all", "three-3"),
        ("viewpoint", "v_two-3"),
    ]
    np.testing.assert_allclose(pairs[1].homography, drawn.homography, atol=1e-9)
    shutil.copy(tmp_path / "i_one" / "3.png", tmp_path / "i_one" / "4.png")
    shutil.copy(tmp_path / "i_one" / "H_1_3", tmp_path / "i_one" / "H_1_4")
    names = [result.name for result in run_warps(RawPixels((64, 64), 4), folder_warps(tmp_path))]
    assert names == ["i_one-3", "i_one-4", "three-3", "v_two-3"]
    (tmp_path / "i_one" / "H_1_3").write_text("1 2 3")
    with pytest.raises(UnreadableFile, match="3x3"):
        folder_warps(tmp_path)
    with pytest.raises(InvalidInput, match="no pairs"):
        folder_warps(tmp_path / "i_one")
    with pytest.raises(UnreadableFile, match="no folder"):
        folder_warps(tmp_path / "i_two")
