from __future__ import annotations

import shutil
from itertools import pairwise

import numpy as np
import pytest

from diffsight.datasets import benchmark, files_of
from diffsight.datasets.hpatches import TOO_LARGE
from diffsight.errors import UnreadableFile
from diffsight.world import RESERVED, make_warp_pair

HPATCHES = benchmark("hpatches")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("hpatches")
    HPATCHES.write_world(root, RESERVED, 1)
    return root


def test_the_world_written_is_the_world_read(tree):
    samples = HPATCHES.samples(tree)
    assert [sample.id for sample in samples] == [f"{kind}_world0000-{k}" for kind in "iv" for k in range(2, 7)]
    assert [sample.category for sample in samples] == ["illumination"] * 5 + ["viewpoint"] * 5
    for aside, sample in zip([0.0] * 5 + [0.05, 0.1, 0.15, 0.2, 0.25], samples, strict=True):
        drawn = make_warp_pair(RESERVED, 128, strength=aside)
        np.testing.assert_allclose(sample.homography, drawn.homography, atol=1e-9)
        np.testing.assert_array_equal(sample.source.load().array(), drawn.source)
        if sample.category == "viewpoint":
            np.testing.assert_array_equal(sample.target.load().array(), drawn.target)
        assert [path.suffix for path in files_of(sample)] == [".ppm"] * 2
    means = [sample.target.load().array().mean() for sample in samples[:5]]
    assert all(next_one < one for one, next_one in pairwise(means))


def test_matrices_count_the_centre_of_the_first_pixel_as_zero(tree, tmp_path):
    """Its centre moves to (2, 0), and the rows double about it."""
    shutil.copytree(tree, tmp_path / "tree")
    (tmp_path / "tree" / "i_world0000" / "H_1_2").write_text("1 0 2\n0 2 0\n0 0 1\n")
    homography = HPATCHES.samples(tmp_path / "tree")[0].homography
    np.testing.assert_allclose(homography @ (0.5, 0.5, 1), (2.5, 0.5, 1))
    np.testing.assert_allclose(homography @ (0.5, 1.5, 1), (2.5, 2.5, 1))


def test_large_sequences_are_left_out(tree, tmp_path):
    for name in (*TOO_LARGE, "v_wall"):
        shutil.copytree(tree / "v_world0000", tmp_path / name)
    assert {sample.id.rsplit("-", 1)[0] for sample in HPATCHES.samples(tmp_path)} == {"v_wall"}
    assert 5 * (116 - len(TOO_LARGE)) == HPATCHES.counts["test"]


def test_any_folder_laid_out_alike(tree, tmp_path):
    (tmp_path / "wall").mkdir()
    shutil.copy(tree / "v_world0000" / "1.ppm", tmp_path / "wall")
    shutil.copy(tree / "v_world0000" / "2.ppm", tmp_path / "wall" / "2.png")
    shutil.copy(tree / "v_world0000" / "H_1_2", tmp_path / "wall")
    (sample,) = HPATCHES.samples(tmp_path)
    assert (sample.id, sample.category, sample.target.path.name) == ("wall-2", "all", "2.png")


def test_wrong_roots_and_damaged_files(tree, tmp_path):
    with pytest.raises(UnreadableFile, match=r"no sample of HPatches.*i_\*/ and v_\*/.*http"):
        HPATCHES.samples(tmp_path)
    shutil.copytree(tree, tmp_path / "tree")
    folder = tmp_path / "tree" / "v_world0000"
    for text in ("1 2 3", "1 0 0 0 one 0 0 0 1"):
        (folder / "H_1_4").write_text(text)
        with pytest.raises(UnreadableFile, match="H_1_4 is not as HPatches has it .no 3x3 matrix"):
            HPATCHES.samples(tmp_path / "tree")
    (folder / "H_1_4").unlink()
    with pytest.raises(UnreadableFile, match="cannot read .*H_1_4 .No such file"):
        HPATCHES.samples(tmp_path / "tree")
    (folder / "4.ppm").unlink()
    (folder / "3.ppm").unlink()
    missing = [path for sample in HPATCHES.samples(tmp_path / "tree") for path in files_of(sample) if not path.exists()]
    assert missing == [folder / "3.ppm"]
