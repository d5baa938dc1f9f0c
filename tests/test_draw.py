from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffsight.draw import (
    Panel,
    draw_heat,
    draw_overlay,
    draw_panels,
    draw_segments,
    draw_sheet,
    palette,
    panel_size,
    save_picture,
    segment_colours,
)
from diffsight.errors import InvalidInput, OutputFailed
from diffsight.images import load_picture
from diffsight.types import VOID, Segmentation


def test_points_are_drawn_where_they_are():
    photo = load_picture(np.full((480, 640, 3), 255, np.uint8))
    point = np.array([[100.0, 300.0]])
    sheet = np.asarray(draw_panels([Panel(photo, point), Panel(photo, point + 200)])).astype(int)
    coloured = np.argwhere((sheet.max(axis=2) - sheet.min(axis=2)) > 60)
    left, right = coloured[coloured[:, 1] < 650], coloured[coloured[:, 1] > 664]
    np.testing.assert_allclose(left.mean(axis=0), (26 + 300, 12 + 100), atol=2)
    np.testing.assert_allclose(right.mean(axis=0), (26 + 500, 664 + 300), atol=30)  # cut off at the rim


def test_colours_differ_and_repeat():
    for count in (1, 2, 12, 50):
        assert len(set(palette(count))) == count
        assert palette(count) == palette(count)


@pytest.mark.parametrize("size", [(1, 1), (3, 20000), (20000, 3), (3000, 4000)])
def test_any_size_fits_the_panel(size):
    width, height = panel_size(load_picture(np.zeros((*size, 3), np.uint8)))
    assert 1 <= width <= 640
    assert 1 <= height <= 480


def test_heat_is_brightest_at_the_peak():
    photo = load_picture(np.full((90, 120, 3), 128, np.uint8))
    scores = np.zeros((9, 12), np.float32)
    scores[2, 7] = 1
    heat = np.asarray(draw_heat(photo, scores, None)).sum(axis=2)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row / heat.shape[0] - 2.5 / 9) < 0.06
    assert abs(column / heat.shape[1] - 7.5 / 12) < 0.06
    draw_heat(photo, np.ones((3, 3), np.float32), np.array([60.0, 45.0]))  # flat maps do not break


def test_nothing_to_draw_is_refused():
    with pytest.raises(InvalidInput):
        draw_panels([])


def test_unwritable_places_are_named(tmp_path):
    (tmp_path / "file").touch()
    image = draw_panels([Panel(load_picture(np.zeros((4, 4, 3), np.uint8)), np.empty((0, 2)))])
    with pytest.raises(OutputFailed, match="cannot write"):
        save_picture(image, tmp_path / "file" / "a.png")
    save_picture(image, tmp_path / "new" / "a.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_segments_are_painted_in_their_colours_with_an_outline():
    photo = load_picture(np.full((60, 80, 3), 128, np.uint8))
    labels = np.zeros((60, 80), np.uint16)
    labels[:, 40:] = 1
    labels[:, 70:] = VOID
    drawn = np.asarray(draw_segments(photo, Segmentation(labels, np.array([0.5, 0.5])), strength=1.0), int)
    colours = segment_colours(2)
    scale = drawn.shape[1] / 80
    for column, colour in ((20, colours[0]), (55, colours[1])):
        assert np.abs(drawn[200, round(column * scale)] - colour).max() <= 1
    assert drawn[200, round(40 * scale)].sum() < 0.4 * sum(colours[1])
    assert np.ptp(drawn[200, round(75 * scale)]) == 0  # grey where nothing was seen
    with pytest.raises(InvalidInput, match="do not fit"):
        draw_segments(photo, Segmentation(labels[:5], np.array([0.5, 0.5])))


def test_colours_of_segments_do_not_depend_on_their_number():
    assert segment_colours(40)[:7] == segment_colours(7)
    assert len(set(segment_colours(60))) == 60


def test_a_sheet_holds_every_picture():
    images = [Image.new("RGB", (300, 200), colour) for colour in ("red", "lime", "blue")]
    sheet = np.asarray(draw_sheet(images, ["one", "two", "a very long title " * 9], columns=2, side=100))
    for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)):
        assert (sheet == colour).all(axis=2).sum() > 0.9 * 100 * 66
    with pytest.raises(InvalidInput, match="nothing"):
        draw_sheet([], [])


def test_an_overlay_paints_objects_with_a_white_outline_all_around():
    labels = np.zeros((30, 40), np.uint8)
    labels[5:20, 10:30], labels[25:, :5] = 7, 255
    table = np.zeros((256, 3), np.uint8)
    table[7] = (200, 0, 0)
    drawn = np.asarray(draw_overlay(load_picture(np.full((30, 40, 3), 100, np.uint8)), labels=labels, colours=table))
    assert (drawn[6:19, 11:29] == (150, 50, 50)).all()
    outline = np.zeros(labels.shape, bool)
    outline[5:20, 10:30] = True
    outline[6:19, 11:29] = False
    assert (drawn[outline] == 255).all()
    assert (drawn[labels != 7] == 100).all()


def test_an_overlay_shows_boxes_and_points_but_not_what_is_lost():
    photo = load_picture(np.full((60, 80, 3), 100, np.uint8))
    points, boxes = np.array([[20.0, 30.0], [np.nan, np.nan]]), np.array([[40, 10, 70, 50], [0, 0, 0, 0]])
    drawn = np.asarray(draw_overlay(photo, points=points, boxes=boxes)).astype(int)
    changed = (drawn != 100).any(axis=2)
    rows, columns = np.nonzero(changed[:, :40])
    assert np.abs([rows.mean() - 29.5, columns.mean() - 19.5]).max() < 1
    assert changed[10, 40:70].all()
    assert changed[10:50, 69].all()
    assert not changed[13:47, 43:67].any()
    with pytest.raises(InvalidInput, match="do not fit"):
        draw_overlay(photo, labels=np.zeros((3, 3), np.uint8))
