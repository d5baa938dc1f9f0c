from __future__ import annotations

import numpy as np
import pytest

from diffsight.draw import Panel, draw_heat, draw_panels, palette, panel_size, save_picture
from diffsight.errors import InvalidInput, OutputFailed
from diffsight.images import load_picture


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
