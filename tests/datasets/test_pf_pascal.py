from __future__ import annotations

import shutil

import numpy as np
import pytest
from scipy.io import savemat

from diffsight.datasets import benchmark, files_of
from diffsight.errors import UnreadableFile
from diffsight.world import RESERVED, categories, make_pair

PF_PASCAL = benchmark("pf-pascal")

# the second row of the real list, fewer points; and one whose middle point is absent in the target
LISTED = """source_image,target_image,class,XA,YA,XB,YB
PF-dataset-PASCAL/JPEGImages/2009_002432.jpg,PF-dataset-PASCAL/JPEGImages/2010_004312.jpg,1,\
257.30256;253.981493333333,117.596355555556;150.364213333333,72.5;71.25,36.5;37.125
PF-dataset-PASCAL/JPEGImages/2008_000001.jpg,PF-dataset-PASCAL/JPEGImages/2008_000002.jpg,20,1;2;3,4;5;6,7;nan;9,1;nan;3
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("pf_pascal")
    PF_PASCAL.write_world(root, RESERVED, 1)
    return root


def test_the_world_written_is_the_world_read(tree):
    samples = PF_PASCAL.samples(tree)
    assert len({sample.id for sample in samples}) == len(samples) == len(categories())
    assert samples[2].category == "bird"  # the third class
    for number, (kind, sample) in enumerate(zip(categories(), samples, strict=True)):
        drawn = make_pair(RESERVED + number * 10_000, 128, kind=kind)
        seen = drawn.source.objects[0].visible & drawn.target.objects[0].visible
        for own, scene in ((sample.source, drawn.source), (sample.target, drawn.target)):
            np.testing.assert_allclose(own.keypoints, scene.objects[0].keypoints[seen])
            assert own.box == tuple(scene.objects[0].box)
            assert own.size is None
            assert own.measure() == own.photo.load().size == (128, 128)
        assert all(path.exists() for path in files_of(sample))


def test_keypoints_in_the_list(tmp_path):
    (tmp_path / "test_pairs_pf_pascal.csv").write_text(LISTED)
    first, second = PF_PASCAL.samples(tmp_path)
    assert first.category == "aeroplane"
    assert first.source.photo.path == tmp_path / "JPEGImages" / "2009_002432.jpg"
    np.testing.assert_allclose(
        first.source.keypoints, [[257.80256, 118.096355555556], [254.481493333333, 150.864213333333]]
    )
    np.testing.assert_allclose(first.target.keypoints, [[73, 37], [71.75, 37.625]])
    assert first.source.box is None
    assert second.category == "tvmonitor"
    np.testing.assert_allclose(second.source.keypoints, [[1.5, 4.5], [3.5, 6.5]])


def test_mirrored_copies_are_left_out(tree, tmp_path):
    shutil.copytree(tree, tmp_path / "tree")
    head, row, *_ = (tree / "test_pairs.csv").read_text().splitlines()
    (tmp_path / "tree" / "trn_pairs.csv").write_text(f"{head},flip\n{row},1\n{row},0\n")
    assert [sample.id[:4] for sample in PF_PASCAL.samples(tmp_path / "tree", "trn")] == ["0002"]


def test_wrong_roots_and_damaged_files(tree, tmp_path):
    with pytest.raises(UnreadableFile, match=r"test_pairs\.csv.*willow"):
        PF_PASCAL.samples(tmp_path)
    shutil.copytree(tree, tmp_path / "tree")
    middle = sorted((tmp_path / "tree" / "Annotations").rglob("*.mat"))[5]
    whole = middle.read_bytes()
    for content in (b"", whole[:40], whole[:400], whole[:128] + b"\xff" * 40 + whole[168:]):
        middle.write_bytes(content)
        with pytest.raises(UnreadableFile, match=rf"{middle.name}.*PF-PASCAL"):
            PF_PASCAL.samples(tmp_path / "tree")
    for facts in ({"kps": np.zeros((3, 2))}, {"kps": np.zeros((3, 2)), "bbox": [1, 2]}):
        savemat(middle, facts)
        with pytest.raises(UnreadableFile, match=middle.name):
            PF_PASCAL.samples(tmp_path / "tree")
    middle.unlink()
    with pytest.raises(UnreadableFile, match=rf"{middle.name} \(No such file"):
        PF_PASCAL.samples(tmp_path / "tree")


DAMAGE = [(",20,", ",0,"), (",20,", ",x,"), ("1;2;3", "1;2"), (",7;nan;9,1;nan;3", ",7;8,1;3"), (",1;nan;3", "")]


@pytest.mark.parametrize(("old", "new"), DAMAGE)
def test_damaged_lists(tmp_path, old, new):
    assert old in LISTED
    (tmp_path / "test_pairs.csv").write_text(LISTED.replace(old, new))
    with pytest.raises(UnreadableFile, match=r"test_pairs\.csv.*line 3"):
        PF_PASCAL.samples(tmp_path)
