from __future__ import annotations

import pytest
import torch

from diffsight.benchmarks.baselines import RawPixels
from diffsight.errors import InvalidInput


def test_raw_pixels_know_no_words_and_no_attention():
    raw = RawPixels((64, 64), 4)
    assert raw.context(["a cat", ""]).shape == (2, 0, 0)
    with pytest.raises(InvalidInput, match="'raw pixels' reads no words, so not cat"):
        raw.find_words("a cat", ["cat"])
    with pytest.raises(InvalidInput, match="no layer 'up1'"):
        raw.attend("up1", torch.zeros(1), torch.zeros(1))
