import numpy as np
import pytest

from diffsight.types import Matches


def matches(count, *, mutual=True, confidence=True):
    places = np.arange(2.0 * count).reshape(count, 2)
    known = np.arange(count) % 2 == 0
    return Matches(places, places + 1, places[:, 0], known if mutual else None, places[:, 1] if confidence else None)


def test_matches_are_joined_in_their_order():
    whole = matches(5)
    joined = Matches.join([whole[:2], whole[2:3], whole[3:]])
    for name in ("query", "matched", "score", "mutual", "confidence"):
        assert getattr(joined, name) == pytest.approx(getattr(whole, name))


def test_what_was_not_asked_of_some_is_left_out():
    joined = Matches.join([matches(2), matches(1, mutual=False)])
    assert joined.mutual is None
    assert len(joined.confidence) == 3
    assert Matches.join([matches(2, confidence=False), matches(1)]).confidence is None
