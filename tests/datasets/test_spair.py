from __future__ import annotations

import numpy as np
import pytest

from diffsight.datasets import benchmark, files_of
from diffsight.errors import UnreadableFile
from diffsight.world import RESERVED, categories, make_pair

SPAIR = benchmark("spair")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("spair")
    SPAIR.write_world(root, RESERVED, 1)
    return root


def test_the_world_written_is_the_world_read(tree):
    samples = SPAIR.samples(tree)
    assert [sample.category for sample in samples] == list(categories())
    for number, sample in enumerate(samples):
        drawn = make_pair(RESERVED + number * 10_000, 128, kind=sample.category)
        seen = drawn.source.objects[0].visible & drawn.target.objects[0].visible
        assert sample.names == tuple(str(slot) for slot in np.flatnonzero(seen))
        for own, scene in ((sample.source, drawn.source), (sample.target, drawn.target)):
            np.testing.assert_allclose(own.keypoints, scene.objects[0].keypoints[seen])
            assert own.box == tuple(scene.objects[0].box)
            assert own.photo.load().size == own.size == (128, 128)
        assert all(path.exists() for path in files_of(sample))


def test_names_without_colons(tree, tmp_path):
    import shutil

    shutil.copytree(tree, tmp_path / "tree")
    for path in (tmp_path / "tree" / "PairAnnotation" / "test").iterdir():
        path.rename(path.with_name(path.name.replace(":", "_")))
    assert len(SPAIR.samples(tmp_path / "tree")) == len(categories())


def test_wrong_roots_and_damaged_files(tree, tmp_path):
    import shutil

    with pytest.raises(UnreadableFile, match=r"Layout/large/test\.txt.*cvlab"):
        SPAIR.samples(tmp_path)
    shutil.copytree(tree, tmp_path / "tree")
    middle = sorted((tmp_path / "tree" / "PairAnnotation" / "test").iterdir())[5]
    whole = middle.read_text()
    for text in (whole[:40], whole.replace("trg_kps", "kps"), whole.replace('"src_kps": [', '"src_kps": [[1, 2],')):
        middle.write_text(text)
        with pytest.raises(UnreadableFile, match="000006-"):
            SPAIR.samples(tmp_path / "tree")
