from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffsight.benchmarks.metrics.confidence import reliability
from diffsight.errors import InvalidInput, OutputFailed, UnreadableFile
from diffsight.matching.confidence import (
    ANY,
    FEWEST,
    NAMES,
    PORTABLE,
    RISING,
    Calibration,
    Calibrations,
    Curve,
    Signals,
    fit,
)
from diffsight.readers import open_reader

PLAIN = Calibration((Curve("peak", (0.2, 0.8), (0.1, 0.9), 0.5), Curve("cycle", (0.0, 0.5), (0.7, 0.2))), 0.4, -0.3)
"""Falls with the cycle error, rises with the peak."""


def sample(count: int, seed: int = 0) -> tuple[Signals, np.ndarray, np.ndarray]:
    """Signals that a known probability was drawn from, and whether each match is right."""
    rng = np.random.default_rng(seed)
    peak, cycle = rng.uniform(0, 1, count), rng.exponential(0.2, count)
    chance = 1 / (1 + np.exp(-(6 * peak - 8 * cycle - 1)))
    noise = rng.normal(size=count)
    right = rng.random(count) < chance
    return Signals.of(count, peak=peak, cycle=cycle, lead=np.exp(peak), entropy=noise), right, chance


values = st.floats(-10, 10)
real_values = st.one_of(values, st.just(float("inf")), st.just(float("-inf")))


@given(
    st.sampled_from(["pocket", ANY]),
    st.sampled_from([1, 2, 5]),
    st.sampled_from(NAMES),
    real_values,
    real_values,
    st.data(),
)
def test_shipped_calibrations_are_monotone_in_each_signal(model, votes, name, low, high, data):
    low, high = sorted((low, high))
    others = {own: data.draw(st.one_of(values, st.just(float("nan")))) for own in NAMES}
    calibration = Calibrations.shipped(model).suit(votes)
    less, more = calibration(
        Signals.of(2, **{own: [v, v] for own, v in {**others}.items() if own != name}, **{name: [low, high]})
    )
    assert (less <= more) if name in RISING else (less >= more)
    assert 0 < min(less, more) <= max(less, more) < 1


def test_probabilities_equal_the_formula():
    def logit(rate):
        return np.log(rate / (1 - rate))

    odds = -0.3 + 0.5 * (logit(0.5) - logit(0.4)) + (logit(0.6) - logit(0.4))
    assert PLAIN(Signals.of(1, peak=[0.5], cycle=[0.1])) == pytest.approx(1 / (1 + np.exp(-odds)))
    assert PLAIN(Signals.of(1, peak=[99.0])) == PLAIN(Signals.of(1, peak=[0.8]))


def test_an_unknown_signal_adds_nothing():
    neutral = Calibration(PLAIN.curves[1:], PLAIN.base, PLAIN.offset)
    signals = Signals.of(3, cycle=[0.0, 0.1, np.nan])
    np.testing.assert_array_equal(PLAIN(signals), neutral(signals))
    assert PLAIN(signals)[2] == pytest.approx(1 / (1 + np.exp(0.3)))


def test_far_odds_are_0_and_1():
    sure = Calibration((Curve("peak", (0.0, 1.0), (1e-6, 1 - 1e-6), 1e6),), 0.5, 0.0)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert sure(Signals.of(2, peak=[0.0, 1.0])).tolist() == [0.0, 1.0]


def test_signals_are_picked_and_joined_like_arrays():
    signals, _, _ = sample(10)
    few = signals[signals.peak > 0.5]
    assert len(few) == (signals.peak > 0.5).sum()
    joined = Signals.join([few, signals[[0]], signals[:0]])
    assert joined.cycle.tolist() == [*few.cycle, signals.cycle[0]]
    assert np.isnan(joined.rounds).all()
    with pytest.raises(TypeError):
        Signals.of(2, peek=[1, 2])
    with pytest.raises(ValueError, match="reshape"):
        Signals.of(2, peak=[1, 2, 3])


def test_nothing_kept_is_an_empty_result():
    signals, _, _ = sample(10)
    nothing = signals[PLAIN(signals) > 1]
    assert len(nothing) == 0
    assert PLAIN(nothing).shape == (0,)


def test_a_fit_recovers_a_known_probability():
    signals, right, _ = sample(4000)
    found = fit(signals, right)
    fresh, truth, chance = sample(4000, seed=1)
    sure = found(fresh)
    assert reliability(sure, truth).error < 0.03
    assert np.abs(sure - chance).mean() < 0.05
    assert np.corrcoef(sure, chance)[0, 1] > 0.98
    weights = {curve.signal: curve.weight for curve in found.curves}
    assert weights["peak"] > 0.3
    assert weights["cycle"] > 0.3
    assert weights.get("entropy", 0.0) < 0.2  # noise
    assert "rounds" not in weights  # unknown


@given(st.integers(0, 20), st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
def test_what_is_fitted_is_monotone_and_can_be_kept(seed, names):
    rng = np.random.default_rng(seed)
    columns = {name: np.where(rng.random(90) < 0.1, np.nan, rng.normal(size=90).round(1)) for name in NAMES}
    found = fit(Signals.of(90, **columns), rng.random(90) < 0.5, names)
    assert Calibration.of(found.facts()) == found
    assert {curve.signal for curve in found.curves} <= set(names)


def test_rates_stay_off_0_and_1_however_many_matches_there_are():
    right = np.arange(200_000) < 10
    found = fit(Signals.of(len(right), peak=right * 1.0), right, ["peak"])
    assert all(0 < rate < 1 for curve in found.curves for rate in curve.rates)
    assert Calibration.of(found.facts()) == found


@pytest.mark.parametrize(
    "right",
    [np.zeros(0, bool), np.arange(FEWEST - 1) % 2 == 0, np.zeros(100, bool), np.ones(100, bool), np.arange(100) < 9],
)
def test_too_few_matches_are_refused(right):
    signals, _, _ = sample(len(right))
    with pytest.raises(InvalidInput, match=f"{len(right)} checked points, {right.sum()} of them right, do not suffice"):
        fit(signals, right)


def test_signals_that_say_nothing_are_refused():
    right = np.arange(100) % 2 == 0
    with pytest.raises(InvalidInput, match="none of the signals peak, rounds is known for 50 points and varies"):
        fit(Signals.of(100, peak=np.ones(100)), right, ["peak", "rounds"])


def test_the_next_fewer_votes_suit():
    several = Calibrations("m", {votes: Calibration((), 0.5, float(votes)) for votes in (1, 2, 5)})
    assert [several.suit(votes).offset for votes in (0, 1, 2, 3, 4, 5, 9)] == [1, 1, 2, 2, 2, 5, 5]
    with_plain = Calibrations("m", {0: PLAIN, **several.by_votes})
    assert with_plain.suit(0) is PLAIN


def test_they_survive_the_disk(tmp_path):
    signals, right, _ = sample(500)
    kept = Calibrations("my model", {0: PLAIN, 1: fit(signals, right), 2: Calibration((), 0.5, 0.0)}, "500 points")
    kept.save(tmp_path / "folder" / "c.json")
    again = Calibrations.load(tmp_path / "folder" / "c.json")
    assert again == kept
    assert again.digest == kept.digest != Calibrations("my model", {0: PLAIN}).digest
    with pytest.raises(OutputFailed):
        kept.save(tmp_path / "folder" / "c.json" / "below")


GOOD = json.dumps({"model": "m", "by_votes": {"1": PLAIN.facts()}})


def test_the_file_that_is_damaged_below_is_whole(tmp_path):
    (tmp_path / "c.json").write_text(GOOD)
    assert Calibrations.load(tmp_path / "c.json").suit(1) == PLAIN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "{}",
        '{"model": "m", "by_votes": {}}',
        '{"model": "m", "by_votes": []}',
        GOOD.replace('"1"', '"one"'),
        GOOD.replace('"peak"', '"beak"'),
        GOOD.replace('"model"', '"modal"'),
        GOOD.replace('"weight": 0.5', '"weight": -0.5'),
        GOOD.replace('"weight": 0.5', '"weight": NaN'),
        GOOD.replace('"base": 0.4', '"base": 1'),
        GOOD.replace('"base": 0.4', '"base": null'),
        GOOD.replace('"base": 0.4', '"base": 1' + 400 * "0"),
        GOOD.replace('"offset": -0.3', '"offset": Infinity'),
        GOOD.replace("[0.1, 0.9]", "[0.9, 0.1]"),
        GOOD.replace("[0.1, 0.9]", "[0.0, 0.9]"),
        GOOD.replace("[0.1, 0.9]", "[0.1, NaN]"),
        GOOD.replace("[0.1, 0.9]", "[0.1]"),
        GOOD.replace("[0.1, 0.9]", "0.1"),
        GOOD.replace("[0.2, 0.8]", "[0.8, 0.2]"),
        GOOD.replace("[0.2, 0.8]", "[NaN, 0.8]"),
        GOOD.replace("[0.2, 0.8]", '["a", 0.8]'),
        GOOD.replace("[0.2, 0.8]", "[]").replace("[0.1, 0.9]", "[]"),
        GOOD.replace("[0.7, 0.2]", "[0.2, 0.7]"),
    ],
)
def test_damaged_files_say_so(tmp_path, text):
    assert text != GOOD
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(UnreadableFile, match=r"c\.json is no calibration .*; give a file that") as caught:
        Calibrations.load(tmp_path / "c.json")
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files_say_so(tmp_path):
    (tmp_path / "c.json").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "c.json", tmp_path / "none.json", tmp_path):
        with pytest.raises(UnreadableFile, match="is no calibration"):
            Calibrations.load(path)


def test_any_model_has_a_shipped_one_that_only_ranks():
    own, other = Calibrations.shipped("pocket"), Calibrations.shipped("a/model of no one")
    assert own.model == "pocket"
    assert own.is_fitted
    assert other.model == ANY
    assert not other.is_fitted
    assert {curve.signal for one in other.by_votes.values() for curve in one.curves} <= set(PORTABLE)


@pytest.mark.parametrize("model", ["pocket", "pocket+"])
def test_shipped_ones_serve_the_reading_that_they_were_fitted_for(model):
    reader = open_reader(model)
    assert Calibrations.shipped(model, reader.record).model == model
    assert Calibrations.shipped(model, open_reader(model, seed=3).record).model == model
    for other in (open_reader(model, ensemble=3), open_reader(model, debias=2)):
        assert not Calibrations.shipped(model, other.record).is_fitted


def test_another_models_calibration_is_refused(tmp_path):
    path = tmp_path / "c.json"
    Calibrations.shipped("pocket").save(path)
    assert Calibrations.chosen(path, "pocket", {}).model == "pocket"
    with pytest.raises(InvalidInput, match=r"was fitted for pocket, not for sd-2.1; fit one"):
        Calibrations.chosen(path, "sd-2.1", {})
    assert not Calibrations.chosen(None, "sd-2.1", {}).is_fitted
