from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.benchmarks.shelf import Shelf


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=40), st.integers(0, 4))
def test_everything_is_right_and_little_is_held(keys, room):
    made = []

    def make(raw):
        made.append(raw // 10)
        return np.full(8, raw)

    shelf = Shelf(lambda key: key * 10, make, lambda thing: thing.nbytes, memory=64 * room)
    shelf.plan(keys)
    for key in keys:
        assert (shelf.take(key) == key * 10).all()
        assert len(shelf.kept) <= room
    assert not shelf.kept
    if room >= len(set(keys)):
        assert len(made) == len(set(keys))


def test_what_is_needed_last_is_given_up_first():
    made = []
    shelf = Shelf(lambda key: key, lambda raw: made.append(raw) or np.zeros(1), lambda thing: 1, memory=2)
    shelf.plan(list("abcabac"))
    for key in "abcabac":
        shelf.take(key)
    assert "".join(made) == "abcc"


def test_keys_without_a_plan():
    shelf = Shelf(str, str.upper, len)
    assert shelf.take("a") == "A"
    assert not shelf.kept


def test_another_plan_gives_up_what_it_does_not_need():
    made = []
    shelf = Shelf(lambda key: key, lambda raw: made.append(raw) or np.zeros(1), lambda thing: 1, memory=2)
    shelf.plan(list("abab"))
    shelf.take("a"), shelf.take("b")  # the rest of the plan is dropped
    shelf.plan(list("bcdcdb"))
    for key in "bcdcdb":
        shelf.take(key)
    assert "".join(made) == "abcdb"
