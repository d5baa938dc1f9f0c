"""How sure a figure is: what it would have been on other samples of the same kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ...errors import InvalidInput

Interval = tuple[float, float]
"""Lower and upper end."""

Weights = npt.NDArray[np.int64]
"""(draws, N) how often each sample is drawn."""


def interval(
    statistic: Callable[[Weights], npt.NDArray[np.float64]],
    samples: int,
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """The percentile bootstrap of a figure (Efron, 1979).

    Args:
        statistic: the (draws,) figures, given how often each sample counts.
        samples: how many there are: pairs, photos or clips, not their points, which are no independent draws.
        level: share of the figures of resampled sets that lie within the interval.
        draws: how many sets are drawn, with replacement, each of as many samples as there are.
        seed: of the draws.

    Raises:
        InvalidInput: without a sample, without a draw, or for a level outside 0 to 1.
    """
    if samples < 1 or draws < 1 or not 0 < level < 1:
        raise InvalidInput(
            f"{samples} samples, {draws} draws and a level of {level} give no interval; "
            "use 1 or more of both and a level between 0 and 1"
        )
    drawn = np.random.default_rng(seed).multinomial(samples, np.full(samples, 1 / samples), size=draws)
    low, high = np.nanquantile(statistic(drawn), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
