from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diffsight.benchmarks.baselines import RawPixels
from diffsight.editing import PAPER, Editor, EditSettings, load_sticker, match_as_published, points_under
from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.world import make_scene
from tests.literal import published_edit
from tests.matching.test_nearest import random_map, reading


def sticker_of(size, box, colour=(250, 20, 30)):
    sticker = np.zeros((*size, 4), np.uint8)
    sticker[box] = (*colour, 255)
    return sticker


@pytest.fixture
def files(tmp_path):
    """A crowded photo, a sticker on it, and the same photo seen 12 pixels further left and 8 further up."""
    whole = make_scene(2, 140, 160, count=4).image
    Image.fromarray(whole[8:136, 12:140]).save(tmp_path / "b.png")
    Image.fromarray(whole[:128, :128]).save(tmp_path / "a.png")
    Image.fromarray(sticker_of((128, 128), np.s_[50:80, 60:100])).save(tmp_path / "s.png")
    return tmp_path


def editor(**changes):
    return Editor(RawPixels((128, 128), 4), settings=EditSettings(**changes))


@pytest.mark.parametrize("warp", ["homography", "affine", "smooth"])
def test_a_sticker_moves_with_the_photo(files, warp):
    own = editor(warp=warp, points=200)
    found = own.paste(own.source(files / "a.png", files / "s.png"), files / "b.png")
    assert found.warnings == ()
    assert found.folded == 0
    target = np.asarray(Image.open(files / "b.png"))
    edited = found.picture.array()
    np.testing.assert_array_equal(edited[45:69, 51:85], np.broadcast_to((250, 20, 30), (24, 34, 3)))
    untouched = np.ones((128, 128), bool)
    untouched[39:75, 45:91] = False
    np.testing.assert_array_equal(edited[untouched], target[untouched])


def test_the_same_photo_takes_the_sticker_as_it_is(files):
    own = editor()
    found = own.paste(own.source(files / "a.png", files / "s.png"), files / "a.png")
    expected = np.asarray(Image.open(files / "a.png")).copy()
    expected[50:80, 60:100] = (250, 20, 30)
    assert found.picture.size == (128, 128)
    assert np.abs(found.picture.array().astype(int) - expected).mean() < 0.2


def test_a_photo_of_one_colour_takes_no_sticker(files):
    Image.new("RGB", (90, 70), (9, 99, 200)).save(files / "plain.png")
    own = editor()
    found = own.paste(own.source(files / "a.png", files / "s.png"), files / "plain.png")
    assert found.picture is None
    assert len(found.matches) == 0
    assert "plain.png is of one colour" in found.warnings[0]
    with pytest.raises(InvalidInput, match="one colour"):
        own.source(files / "plain.png", files / "s.png")


def test_no_place_is_a_result(files):
    dot = sticker_of((128, 128), np.s_[60, 60:63])
    Image.fromarray(dot).save(files / "dot.png")
    own = editor(mutual=False)
    found = own.paste(own.source(files / "a.png", files / "dot.png"), files / "b.png")
    assert found.picture is None
    assert len(found.warnings) == 1
    assert "needs 4 or more" in found.warnings[0]


def test_poor_fits_are_called_poor(files):
    own = editor(mutual=False, threshold=2.0)
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    Image.fromarray(noise).save(files / "noise.png")
    found = own.paste(own.source(files / "a.png", files / "s.png"), files / "noise.png")
    assert found.warnings
    mirrored = np.asarray(Image.open(files / "a.png"))[:, ::-1]
    Image.fromarray(mirrored).save(files / "mirror.png")
    smooth = editor(warp="smooth", mutual=False, slack=1.0)
    found = smooth.paste(smooth.source(files / "a.png", files / "s.png"), files / "mirror.png")
    assert any("folds" in line or "agree" in line or "stretched" in line for line in found.warnings)


def test_stickers_that_cannot_be_used(tmp_path):
    def saved(image, name="s.png"):
        Image.fromarray(image).save(tmp_path / name)
        return tmp_path / name

    good = sticker_of((20, 30), np.s_[5:9, 5:9])
    np.testing.assert_array_equal(load_sticker(saved(good), (20, 30)), good)
    with pytest.raises(InvalidInput, match="30x20 pixels, but the source photo has 20x30"):
        load_sticker(saved(good), (30, 20))
    with pytest.raises(InvalidInput, match="no alpha"):
        load_sticker(saved(good[..., :3]), (20, 30))
    with pytest.raises(InvalidInput, match="transparent everywhere"):
        load_sticker(saved(good * 0), (20, 30))
    (tmp_path / "bad.png").write_bytes(saved(good).read_bytes()[:60])
    with pytest.raises(UnreadableFile):
        load_sticker(tmp_path / "bad.png", (20, 30))
    Image.fromarray(good).save(tmp_path / "tiff.png", format="TIFF")
    assert load_sticker(tmp_path / "tiff.png", (20, 30)).shape == (20, 30, 4)
    Image.fromarray(good).quantize().save(tmp_path / "palette.gif", transparency=0)
    assert load_sticker(tmp_path / "palette.gif", (20, 30)).shape == (20, 30, 4)


@given(st.integers(0, 99), st.integers(1, 30), st.integers(1, 30))
def test_points_lie_under_the_sticker(seed, count, covered):
    sticker = np.zeros((8, 9, 4), np.uint8)
    where = np.random.default_rng(seed).permutation(72)[:covered]
    sticker.reshape(72, 4)[where, 3] = 1
    points = points_under(sticker, count, seed)
    assert len(points) == len(np.unique(points, axis=0)) == min(count, covered)
    assert (sticker[(points[:, 1] - 0.5).astype(int), (points[:, 0] - 0.5).astype(int), 3] > 0).all()
    np.testing.assert_array_equal(points, points_under(sticker, count, seed))


side = st.integers(2, 9)


@given(st.integers(0, 99), st.tuples(side, side), st.tuples(side, side), st.integers(2, 30), st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_the_published_search_equals_its_literal_form(seed, grid_a, grid_b, height, width):
    a, b = random_map(seed, 5, *grid_a), random_map(seed + 1, 5, *grid_b)
    pixels = np.random.default_rng(seed).integers(0, (width, height), (4, 2))
    expected = published_edit(a, (height, width), pixels, b, (width, height))
    found = match_as_published(reading(a, (height, width)), reading(b, (width, height)), pixels + 0.5)
    columns, rows = (found.matched - 0.5).T.astype(int)
    best = expected.flatten(1).min(dim=1).values
    np.testing.assert_allclose(-found.score, best, atol=1e-7)
    np.testing.assert_allclose(expected[range(4), rows, columns], best, atol=1e-7)


@pytest.mark.parametrize(
    "wrong", [{"warp": "bend"}, {"points": 3}, {"slack": 0.0}, {"seed": -1}, {"estimator": "x"}, {"threshold": -1.0}]
)
def test_unsuitable_settings(wrong):
    with pytest.raises(InvalidInput):
        EditSettings(**wrong)


def test_the_paper_preset(files):
    own = Editor(RawPixels((128, 128), 4), settings=PAPER)
    found = own.paste(own.source(files / "a.png", files / "s.png"), files / "b.png")
    assert found.picture is not None
    assert len(found.matches) == 1000
    assert found.matches.mutual is None
