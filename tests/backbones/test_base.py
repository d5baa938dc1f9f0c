from __future__ import annotations

import pytest

from diffsight.backbones.base import ReadSettings, adjust
from diffsight.errors import InvalidInput

CLEAN = ReadSettings("up1", 20, 1, (96, 96), noise=False)


@pytest.mark.parametrize(
    ("changes", "noise"),
    [
        ({"ensemble": 4}, True),
        ({"ensemble": 4, "noise": False}, False),
        ({"ensemble": 4, "posterior": "sample"}, False),
        ({"ensemble": 1}, False),
        ({"ensemble": None, "timestep": 5}, False),
    ],
)
def test_several_draws_of_a_clean_reading_have_noise(changes, noise):
    after = adjust(CLEAN, changes)
    assert after.noise is noise
    assert after.ensemble == (changes["ensemble"] or 1)


def test_what_is_no_setting_is_refused():
    with pytest.raises(InvalidInput, match="unknown setting 'draws'"):
        adjust(CLEAN, {"draws": 4})
