from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from diffsight.draw import MARGIN, panel_size
from diffsight.draw_alignment import BAD, GOOD, LINES, checkerboard, draw_inliers, overlay, save_blink, warp_source
from diffsight.matching.homography import Alignment
from diffsight.types import Matches, Picture
from diffsight.world import make_scene

SHIFT = np.array([[1.0, 0, 20], [0, 1, 0], [0, 0, 1]])


def picture(image):
    return Picture(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1))


@pytest.fixture
def pair():
    """A photo, and the same seen 20 pixels further left: what is at (x, y) of the first is at (x + 20, y)."""
    whole = make_scene(2, 60, 110, count=3).image
    return picture(whole[:, 20:]), picture(whole[:, :90])


def test_the_source_as_seen_from_the_target(pair):
    warped = warp_source(*pair, SHIFT)
    assert (warped[:, :20, 3] == 0).all()
    np.testing.assert_array_equal(warped[:, 20:, 3], 255)
    np.testing.assert_array_equal(warped[:, 20:, :3], pair[1].array()[:, 20:])


def test_an_overlay_is_grey_where_photos_agree_and_coloured_where_not(pair):
    agreeing = np.asarray(overlay(warp_source(*pair, SHIFT), pair[1])).astype(int)
    assert np.ptp(agreeing, axis=2).max() == 0
    np.testing.assert_array_equal(agreeing[..., 0], np.asarray(Image.fromarray(pair[1].array()).convert("L")))
    off = np.asarray(overlay(warp_source(*pair, np.eye(3)), pair[1])).astype(int)
    below, above = (np.asarray(Image.fromarray(own.array()).convert("L")).astype(int) for own in pair[::-1])
    np.testing.assert_array_equal(np.sign(off[..., 1] - off[..., 0]), np.sign(above - below))  # green: the source's


def test_a_checkerboard_shows_both_in_turn(pair):
    white = np.full((60, 90, 4), 255, np.uint8)
    board = np.asarray(checkerboard(white, picture(np.zeros((60, 90, 3), np.uint8))))[..., 0]
    centres = (np.arange(8) + 0.5) * 90 / 8
    fields = board[centres[:5].astype(int)][:, centres.astype(int)]
    np.testing.assert_array_equal(fields, np.indices((5, 8)).sum(axis=0) % 2 * 255)


def test_lines_lead_from_match_to_match(pair):
    blank = [picture(np.full((60, 90, 3), 255, np.uint8))] * 2
    matches = Matches(np.array([[10.0, 20], [40, 50]]), np.array([[30.0, 20], [80, 10]]), np.ones(2))
    sheet = draw_inliers(*blank, matches, Alignment("homography", SHIFT, np.array([True, False]), np.zeros(2)))
    (width, height), found = panel_size(blank[0]), np.asarray(sheet).astype(int)
    assert sheet.size == (2 * width + MARGIN, height)
    for row, colour in enumerate((GOOD, BAD)):
        (x, y), (u, v) = matches.query[row] * width / 90, matches.matched[row] * width / 90 + (width + MARGIN, 0)
        for at in ((x, y), (u, v)):
            np.testing.assert_array_equal(found[round(at[1]), round(at[0])], colour)
        for share in (0.2, 0.8):
            line = found[round(y + share * (v - y)), round(x + share * (u - x))]
            assert line.argmax() == np.argmax(colour)
            assert 20 < 255 - line.min() < 200  # the photo shows through
    many = Matches(*np.random.default_rng(0).uniform(1, 59, (2, 5 * LINES, 2)), np.ones(5 * LINES))
    crowded = draw_inliers(*blank, many, Alignment("homography", None, np.zeros(5 * LINES, bool), np.zeros(5 * LINES)))
    assert (np.asarray(crowded)[:, width : width + MARGIN] == 255).all(axis=2).mean() > 0.2


def test_a_blinking_picture_shows_the_target_and_the_source_on_it(pair, tmp_path):
    red = picture(np.broadcast_to(np.array([250, 10, 20], np.uint8), (60, 90, 3)))
    grey = picture(np.repeat(np.tile(np.arange(90, dtype=np.uint8), (60, 1))[..., None], 3, axis=2))
    save_blink(warp_source(red, grey, SHIFT), grey, tmp_path / "blink.gif")
    with Image.open(tmp_path / "blink.gif") as gif:
        assert (gif.n_frames, gif.info["loop"]) == (2, 0)
        frames = []
        for number in range(2):
            gif.seek(number)
            frames.append(np.asarray(gif.convert("RGB")).astype(int))
    assert frames[0].shape[:2] == panel_size(grey)[::-1]
    third = frames[0].shape[1] // 3
    assert np.ptp(frames[0], axis=2).max() < 12
    assert np.abs(frames[1][:, third:] - (250, 10, 20)).mean() < 6
    assert np.abs(frames[1][:, : third // 2] - frames[0][:, : third // 2]).mean() < 6
