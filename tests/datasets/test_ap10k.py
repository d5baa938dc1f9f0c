from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from diffsight.datasets import benchmark, files_of
from diffsight.datasets.ap10k import DRAWN, NAMES
from diffsight.errors import UnreadableFile
from diffsight.world import RESERVED, make_scene

AP10K = benchmark("ap-10k")

# one annotation of the real lists
REAL = {
    "image_id": 37516,
    "bbox": [66, 192, 1092, 512],
    "keypoints": [
        *(134, 415, 2, 0, 0, 0, 94, 475, 2, 302, 330, 2, 890, 287, 2, 414, 470, 2, 414, 554, 2, 396, 624, 2),
        *(302, 466, 2, 230, 515, 2, 214, 623, 2, 838, 422, 2, 946, 511, 2, 936, 628, 2, 708, 442, 2),
        *(698, 555, 2, 636, 602, 2),
    ],
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("ap10k")
    AP10K.write_world(root, RESERVED, 1)
    return root


def animals(kind, rank, count):
    """Points by name and box of the first animals of the world that show enough of themselves."""
    found = []
    for i in range(100):
        thing = make_scene(RESERVED + rank * 10_000 + i, 128, kinds=(kind,)).objects[0]
        rows = zip(thing.names, thing.keypoints, thing.visible, strict=True)
        points = {DRAWN[kind][name]: point for name, point, visible in rows if visible and name in DRAWN[kind]}
        if len(points) >= 3:
            found.append((points, tuple(thing.box)))
    return found[:count]


def test_the_world_written_is_the_world_read(tree):
    kinds = {"bird": "bird", "dog": "dog", "wolf": "dog", "fish": "fish"}
    usable = {species: animals(kind, rank, 2) for rank, (species, kind) in enumerate(kinds.items())}
    counts = {}
    for split in AP10K.splits:
        samples = AP10K.samples(tree, split)
        counts[split] = len(samples)
        assert [sample.id for sample in samples] == sorted({sample.id for sample in samples})
        for sample in samples:
            sides = sample.source, sample.target
            places = [((int(own.photo.path.stem) - 1) % 2, own.photo.path.parent.name) for own in sides]
            things = [usable[species][place] for place, species in places]
            assert sample.names == tuple(name for name in NAMES if all(name in points for points, _ in things))
            for own, (points, box) in zip(sides, things, strict=True):
                np.testing.assert_allclose(own.keypoints, [points[name] for name in sample.names])
                assert own.box == box
                assert own.photo.load().size == own.size == (128, 128)
            assert all(path.exists() for path in files_of(sample))
    assert counts["test_cross_species"] == 2
    assert {sample.category for sample in AP10K.samples(tree)} <= set(kinds)
    assert {sample.category for sample in AP10K.samples(tree, "test_cross_species")} == {"Canidae"}
    assert {sample.category for sample in AP10K.samples(tree, "test_cross_family")} == {"all"}


def original(root, species=2, photos=4):
    """The original folder, its lists in three parts and in no order; two families of so many species."""
    kinds = [(f, s) for f in ("Bovidae", "Ursidae") for s in range(species)]
    categories = [{"id": i, "supercategory": f, "name": f"{f} {s}"} for i, (f, s) in enumerate(kinds, 1)]
    numbers = list(range(1, len(kinds) * photos + 1))
    images = [{"id": i, "file_name": f"{i:012d}.jpg", "width": 1200, "height": 867} for i in numbers]
    animals = [REAL | {"id": i, "image_id": i, "category_id": 1 + i % len(kinds)} for i in numbers]
    animals.append(REAL | {"id": 999, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]})  # a second in the photo
    animals[2] = animals[2] | {"keypoints": [1, 1, 2] * 2 + [0, 0, 0] * 15}  # too few keypoints
    (root / "annotations").mkdir()
    for part, name in enumerate(("train", "val", "test")):
        own = [animal for animal in animals if animal["image_id"] % 3 == part]
        facts = {"categories": categories, "images": images[::-1], "annotations": own}
        (root / "annotations" / f"ap10k-{name}-split1.json").write_text(json.dumps(facts))


def test_pairs_made_of_the_original_folder(tmp_path):
    original(tmp_path)
    samples = AP10K.samples(tmp_path)
    assert len(samples) == 3 * 6 + 3  # the species whose third photo shows too little has three pairs
    first = samples[0].source
    assert samples[0].id == "000000000001-000000000005:Bovidae 1"
    assert first.photo.path == tmp_path / "data" / "000000000001.jpg"
    assert first.size == (867, 1200)
    assert first.box == (66, 192, 1158, 704)
    assert len(samples[0].names) == 16
    assert samples[0].names[1] == "nose"
    assert first.keypoints[1].tolist() == [94.5, 475.5]
    near = AP10K.samples(tmp_path, "test_cross_species")
    assert len(near) == 4 * 4 + 4 * 3
    far = AP10K.samples(tmp_path, "test_cross_family")
    assert len(far) == 30
    assert [sample.id for sample in AP10K.samples(tmp_path, "test_cross_family")] == [sample.id for sample in far]


def test_only_the_last_photos_of_a_species_are_for_testing(tmp_path):
    original(tmp_path, species=1, photos=32)
    assert {sample.source.photo.path.stem for sample in AP10K.samples(tmp_path)}.isdisjoint({"000000000001"})
    assert len(AP10K.samples(tmp_path)) == 2 * 30 * 29 // 2


def test_wrong_roots_and_damaged_files(tree, tmp_path):
    with pytest.raises(UnreadableFile, match=r"no sample of AP-10K.*AlexTheBad"):
        AP10K.samples(tmp_path)
    shutil.copytree(tree, tmp_path / "tree")
    pair = AP10K.samples(tree)[1]
    own = pair.target.photo.path.with_suffix(".json").parts[-3:]
    paths = ("PairAnnotation", "test", f"{pair.id}.json"), ("ImageAnnotation", *own)
    for path, old in zip(paths, ("src_json_path", "keypoints"), strict=True):
        middle = (tmp_path / "tree").joinpath(*path)
        whole = middle.read_text()
        for text in (whole[:30], whole.replace(f'"{old}"', '"x"'), "[]"):
            middle.write_text(text)
            with pytest.raises(UnreadableFile, match=middle.name):
                AP10K.samples(tmp_path / "tree")
        middle.write_text(whole)
    original(tmp_path)
    middle = tmp_path / "annotations" / "ap10k-val-split1.json"
    for text in ("{", middle.read_text().replace('"bbox"', '"x"'), "{}"):
        middle.write_text(text)
        with pytest.raises(UnreadableFile, match="ap10k-val"):
            AP10K.samples(tmp_path)
