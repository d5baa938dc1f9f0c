from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from diffsight.datasets import Photo, benchmark, files_of
from diffsight.datasets.cub import DRAWN, PARTS, crop_window
from diffsight.errors import UnreadableFile
from diffsight.world import RESERVED, make_scene

CUB = benchmark("cub")
PAIRS = 2


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("cub")
    CUB.write_world(root, RESERVED, PAIRS)
    return root


def bird_of(path):
    _, number, i = path.stem.split("_")
    return make_scene(RESERVED + int(number) * 10_000 + int(i), 128, kinds=("bird",)).objects[0]


def truth(thing, other):
    """Part names and points that two birds share, in the order of the tables."""
    known = {DRAWN[name]: i for i, name in enumerate(thing.names) if name in DRAWN}
    seen = [p for p in PARTS if p in known and thing.visible[known[p]] and other.visible[known[p]]]
    return tuple(seen), thing.keypoints[[known[part] for part in seen]]


def test_the_world_written_is_the_world_read(tree):
    samples = CUB.samples(tree)
    assert len(samples) == len({sample.id for sample in samples}) == 3 * 3
    assert {sample.category for sample in samples} == {"001.Bird", "002.Bird", "003.Bird"}
    for sample in samples:
        things = bird_of(sample.source.photo.path), bird_of(sample.target.photo.path)
        for own, (thing, other) in ((sample.source, things), (sample.target, things[::-1])):
            names, points = truth(thing, other)
            assert sample.names == names
            np.testing.assert_allclose(own.keypoints, points)
            assert own.box == tuple(thing.box)
            assert own.measure() == (128, 128)
            assert not own.photo.path.stem.endswith("0000")  # it is for training
        assert all(path.exists() for path in files_of(sample))


@pytest.mark.parametrize(("split", "count", "categories"), [("asic", 9, 3), ("neural_congealing", 14 * 6, 14)])
def test_crops(tree, split, count, categories):
    samples = CUB.samples(tree, split)
    assert len(samples) == len({sample.id for sample in samples}) == count
    assert len({sample.category for sample in samples}) == categories
    for sample in samples[:6]:
        own, thing = sample.source, bird_of(sample.source.photo.path)
        _, points = truth(thing, bird_of(sample.target.photo.path))
        x0, y0, x1, y1 = own.photo.window
        assert x1 - x0 == y1 - y0
        assert (thing.box[:2] > (x0, y0)).all()
        assert (thing.box[2:] < (x1, y1)).all()
        np.testing.assert_allclose(own.keypoints, (points - (x0, y0)) * 256 / (x1 - x0))
        np.testing.assert_allclose(own.box, ((thing.box.reshape(2, 2) - (x0, y0)) * 256 / (x1 - x0)).ravel())
        assert own.photo.load().size == own.size == own.measure() == (256, 256)


def test_every_pair_of_a_subset_is_taken_both_ways(tree):
    pairs = [(s.source.photo.path, s.target.photo.path) for s in CUB.samples(tree, "neural_congealing")[:6]]
    assert {pair[::-1] for pair in pairs} == set(pairs)


def test_a_window_of_the_real_tables():
    """The second bird; worked by hand: 130.35..297.65 by 15.8..305.2, rounded, then widened by 61 on the left."""
    window = crop_window(np.array([139.0, 30.0, 153.0, 264.0]))
    assert window == (69, 16, 359, 306)
    back = Photo(Path("bird.jpg"), window, 256).to_window(np.array([[228.0, 138.0]]) - 0.5)
    released = (np.array([[228.0, 138.0]]) - (69 + 1, 16 + 1)) * 256 / 290  # which has pixel centres at 0
    np.testing.assert_allclose(back, released + 0.5 * 256 / 290)
    assert crop_window(np.array([1.0, 1.0, 10.0, 10.0])) == (-1, -1, 11, 11)  # halves go away from zero


def damage(root, name, line, text):
    path = root / name
    lines = path.read_text().splitlines()
    lines[line] = text
    path.write_text("\n".join(lines))


DAMAGE = [
    ("images.txt", 5, "6"),
    ("image_class_labels.txt", 5, "6 x"),
    ("train_test_split.txt", 5, "5 0"),
    ("bounding_boxes.txt", 5, "6 1 2 3"),
    ("parts/part_locs.txt", 50, ""),
    ("parts/part_locs.txt", 50, "4 5 1 1 1"),
    ("image_class_labels.txt", slice(None), []),
]


@pytest.mark.parametrize(("name", "line", "text"), DAMAGE)
def test_damaged_tables(tree, tmp_path, name, line, text):
    shutil.copytree(tree, tmp_path / "tree")
    damage(tmp_path / "tree", name, line, text)
    with pytest.raises(UnreadableFile, match=rf"{name}.*CUB-200-2011"):
        CUB.samples(tmp_path / "tree")


def test_wrong_roots_and_lists(tree, tmp_path):
    with pytest.raises(UnreadableFile, match=r"images\.txt.*caltech"):
        CUB.samples(tmp_path)
    shutil.copytree(tree, tmp_path / "tree")
    damage(tmp_path / "tree", "cub_subset_7_original_paths.txt", 1, "CUB_200_2011/images/001.Bird/none.jpg")
    with pytest.raises(UnreadableFile, match=r"cub_subset_7.*none\.jpg"):
        CUB.samples(tmp_path / "tree", "neural_congealing")
    (tmp_path / "tree" / "cub_subset_7_original_paths.txt").unlink()
    with pytest.raises(UnreadableFile, match=r"cub_subset_7.*neural-congealing"):
        CUB.samples(tmp_path / "tree", "neural_congealing")
    kept = tmp_path / "tree" / "cachedir" / "cub" / "data" / "test_cub_cleaned.mat"
    kept.write_bytes(kept.read_bytes()[:300])
    with pytest.raises(UnreadableFile, match=r"test_cub_cleaned\.mat"):
        CUB.samples(tmp_path / "tree", "asic")
