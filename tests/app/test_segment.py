import io
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from diffsight.app.limits import MAX_NAMES
from diffsight.app.models import Models
from diffsight.app.outlines import outlines
from diffsight.app.pictures import SIDE
from diffsight.app.segment import EXAMPLE, Desk, parts
from diffsight.benchmarks.metrics import mask_score
from diffsight.errors import InvalidInput
from diffsight.segmentation.segmenter import Segmenter
from diffsight.world import make_scene


@pytest.fixture(scope="module")
def desk():
    return Desk(Models(["pocket"]))


@pytest.fixture(scope="module")
def ready(desk):
    return desk.example(desk.start())


@pytest.fixture(scope="module")
def truth():
    seed, height, width = EXAMPLE
    instances = make_scene(seed, height, width).instances.astype(int)
    return np.where(instances == 255, -1, instances)


@pytest.fixture(scope="module")
def large(desk, tmp_path_factory):
    """The example as a visitor may send it: larger than it is read."""
    path = tmp_path_factory.mktemp("photos") / "butterfly.png"
    seed, height, width = EXAMPLE
    Image.fromarray(make_scene(seed, height, width).image).resize((width * 3, height * 3)).save(path)
    return desk.choose(desk.start(), str(path))


def test_the_parts_of_the_example_are_its_true_ones(ready, truth):
    """Measured: 91.9."""
    assert mask_score([(ready.found.labels, truth)], 2).miou_present > 75


def test_the_parts_of_the_example_have_their_true_names(ready, truth):
    """Measured: butterfly 91.8, the black ground 94.5."""
    for value, name in enumerate(("black", "butterfly")):
        called = np.isin(ready.found.labels, [i for i, own in enumerate(ready.found.names) if own == name])
        there = truth >= 0
        both, either = (called & (truth == value) & there).sum(), ((called | (truth == value)) & there).sum()
        assert both / either > 0.7
    assert [part.name for part in parts(ready)] == list(ready.found.names)


@pytest.mark.parametrize("solver", ["diffseg", "ncut", "kmeans"])
def test_the_slider_goes_from_few_parts_to_many(desk, ready, solver):
    ends = (2, 6, 20) if solver == "kmeans" else (0, 50, 100)
    counts = [len(desk.cut(ready, solver, level).found) for level in ends]
    assert counts[0] < counts[1] < counts[2]
    assert desk.cut(ready, solver, ends[1]).found.names  # a new cut is named, too
    if solver == "kmeans":
        assert counts[0] == 2


def test_in_its_middle_the_slider_stands_for_the_models_own_settings(desk, ready):
    for solver in ("diffseg", "ncut"):
        found = desk.cut(ready, solver, 50).found
        own = Segmenter(desk.models.backbone(), solver=solver).segment(ready.photo.picture)
        assert (found.labels == own.labels).all()


def test_a_photo_is_read_once(desk, ready):
    moved = desk.cut(ready, "diffseg", 70)
    assert moved.photo is ready.photo
    assert moved.heard is ready.heard
    features = desk.cut(moved, "ncut", 50)
    assert features.photo.readings["maps"] is ready.photo.readings["maps"]
    assert desk.cut(features, "kmeans", 4).photo is features.photo


def test_what_is_said_of_a_part_is_its_mask(ready):
    for i, part in enumerate(parts(ready)):
        share = ready.found.mask(i).mean()
        assert part.share == pytest.approx(share)
        assert f"Part {i + 1}: {ready.found.names[i]}" in part.line
        assert f"{share:.1%} of the photo" in part.line
    assert sum(part.share for part in parts(ready)) == pytest.approx(1)


def test_outlines_are_those_of_the_masks(ready):
    svg = outlines(ready.found, [part.line for part in parts(ready)], "part")
    height, width = ready.found.labels.shape
    shapes = re.findall(r' d="M(.*?)Z".*?data-x="(.*?)" data-y="(.*?)"', svg)
    assert len(shapes) == len(ready.found)
    for i, (path, x, y) in enumerate(shapes):
        rings = [[place.split(",") for place in ring.split(" L")] for ring in path.split("Z M")]
        drawn = np.zeros((height, width), np.uint8)
        cv2.fillPoly(drawn, [np.array(ring, float).astype(np.int32) for ring in rings], 1)  # even and odd, as the page
        mask = ready.found.mask(i)
        near = np.ones((5, 5), np.uint8)  # an outline is a pixel off at most, and its own pixels are drawn
        assert (drawn >= cv2.erode(mask.astype(np.uint8), near)).all()
        assert (drawn <= cv2.dilate(mask.astype(np.uint8), near)).all()
        assert mask[int(float(y) * height + 0.5), int(float(x) * width + 0.5)]


def test_what_visitors_write_is_not_taken_for_markup(ready):
    named = replace(ready.found, names=("<b>", '"', "&"))
    svg = outlines(named, ['<script>"', "b", "c"], "part")
    assert "<script" not in svg
    assert "<b>" not in svg
    assert 'aria-label="&lt;script&gt;&quot;"' in svg


def test_names_come_and_go(desk, ready):
    named = desk.name(ready, " Flag,butterfly ,, flag")
    assert set(named.found.names) <= {"flag", "butterfly"}
    assert named.names.words == ("flag", "butterfly")
    assert desk.name(named, " , ").found.names == ()


def test_names_stay_for_the_next_photo(desk, ready, tmp_path):
    seed, height, width = EXAMPLE
    Image.fromarray(make_scene(seed + 9, height, width).image).save(tmp_path / "next.png")
    after = desk.choose(desk.cut(ready, "diffseg", 70), str(tmp_path / "next.png"))
    assert set(after.found.names) <= {"butterfly", "black"}
    assert after.found.names
    assert after.levels["diffseg"] == 70
    assert not (after.heard == ready.heard).all()


def test_where_the_model_looks(desk, ready):
    """From within the butterfly at the butterfly, and the cross is where the click was."""
    height, width = ready.photo.picture.size
    looked = desk.look(desk.take_clicks(ready, "look"), (0.45, 0.55))
    assert looked.spot == (0.45 * width, 0.55 * height)
    heat = np.asarray(desk.picture(looked)).astype(int)
    photo = np.asarray(desk.picture(ready))
    assert photo.shape[:2] == (height, width)
    butterfly = np.array(Image.fromarray(ready.found.labels == 1).resize(heat.shape[1::-1])).astype(bool)
    assert heat.sum(axis=2)[butterfly].mean() > 1.5 * heat.sum(axis=2)[~butterfly].mean()
    x, y = round(0.45 * heat.shape[1]), round(0.55 * heat.shape[0])
    assert heat[y, x + 5].min() > 240  # the white of the cross
    assert desk.take_clicks(looked, "part").spot is None
    assert desk.look(desk.cut(ready, "ncut", 50), (0.45, 0.55)).spot == looked.spot


def test_downloads_have_the_size_of_the_photo_as_it_was_sent(desk, large):
    width, height = EXAMPLE[2] * 3, EXAMPLE[1] * 3
    assert large.photo.picture.size == (SIDE * height // width, SIDE)
    image = Image.open(io.BytesIO(desk.labels(large)))
    labels = np.asarray(image)
    assert (image.mode, image.size) == ("P", (width, height))
    told = json.loads(desk.description(large))
    assert (told["solver"], told["settings"]["thresholds"]) == ("diffseg", [pytest.approx(0.05)] * 3)
    assert len(told["segments"]) == len(large.found) == labels.max() + 1
    for i, (one, part) in enumerate(zip(told["segments"], parts(large), strict=True)):
        mask = labels == i
        assert (coco.decode(one["segmentation"]).astype(bool) == mask).all()
        assert one["area"] == mask.sum()
        assert one["share"] == pytest.approx(part.share, abs=1e-3)
    assert Image.open(io.BytesIO(desk.overlay(large))).format == "PNG"


def test_what_is_wrong_is_said(desk, ready, tmp_path):
    for action in (desk.labels, desk.overlay, lambda session: desk.look(session, (0, 0))):
        with pytest.raises(InvalidInput, match="no photo yet"):
            action(desk.start())
    with pytest.raises(InvalidInput, match="does not know the word 'zebu'"):
        desk.name(ready, "butterfly, zebu")
    with pytest.raises(InvalidInput, match=f"{MAX_NAMES + 1} names are too many"):
        desk.name(ready, "butterfly," * (MAX_NAMES + 1))
    with pytest.raises(InvalidInput, match="outside the photo"):
        desk.look(ready, (1.5, 0.5))
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(InvalidInput, match=r"^notes\.txt is not a photo"):
        desk.choose(ready, str(tmp_path / "notes.txt"))


def test_one_line_says_what_there_is(desk, ready):
    assert desk.status(desk.start()) == "Choose a photo, or try the example."
    assert desk.status(ready) == "3 parts (threshold 0.05)."
    assert desk.status(desk.cut(ready, "kmeans", 4)) == "4 parts."
