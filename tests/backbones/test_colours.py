from __future__ import annotations

import pytest
import torch

from diffsight.backbones.colours import check_sides
from diffsight.errors import InvalidInput


def test_sides_are_held_to_the_multiple():
    check_sides(torch.zeros(1, 3, 28, 42), 14)
    for shape in ((1, 3, 28, 40), (1, 3, 30, 42)):
        with pytest.raises(InvalidInput, match=f"{shape[3]}x{shape[2]}; both sides must be a multiple of 14"):
            check_sides(torch.zeros(shape), 14)
