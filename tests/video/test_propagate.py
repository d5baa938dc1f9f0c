from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.video.propagate import Memory, Propagation, affordable, propagate, settings_for
from tests import literal


def random_frames(count, channels, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(channels, height, width, generator=generator) for _ in range(count)]


def unit(frame):
    return F.normalize(frame, dim=0).permute(1, 2, 0).contiguous()


def random_labels(count, labels, height, width, seed=1):
    return [own.softmax(dim=0) for own in random_frames(count, labels, height, width, seed)]


def both(frames, labels, *, radius, top, temperature, window="square"):
    own = Propagation(radius=radius, top=top, temperature=temperature, window=window)
    fast = propagate(unit(frames[0]), [unit(f) for f in frames[1:]], labels, own)
    slow = literal.propagate(frames[0], frames[1:], labels, radius, top, temperature, window == "circle")
    return fast, slow


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    context=st.integers(1, 4),
    objects=st.integers(1, 5),
    radius=st.integers(1, 20),
    top=st.integers(1, 40),
    window=st.sampled_from(["square", "circle"]),
    seed=st.integers(0, 1000),
)
def test_equals_the_dense_formula(height, width, context, objects, radius, top, window, seed):
    frames = random_frames(context + 1, 8, height, width, seed)
    labels = random_labels(context, objects + 1, height, width, seed + 1)
    fast, slow = both(frames, labels, radius=radius, top=top, temperature=0.2, window=window)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("radius", "top"), [(1, 1), (2, 7), (4, 30), (15, 15)])
def test_ties_are_kept(radius, top):
    """Few different features, whose products are exact in any order: nearly every cell has ties at its k-th place."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.eye(4)[torch.randint(4, (4, 13, 11), generator=generator)]
    frames = [own.permute(2, 0, 1) for own in kinds]
    labels = random_labels(3, 4, 13, 11)
    fast, slow = both(frames, labels, radius=radius, top=top, temperature=0.5)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=0)
    alone = Propagation(radius=radius, top=top, temperature=0.5, ties="first")
    first = propagate(unit(frames[0]), [unit(f) for f in frames[1:]], labels, alone)
    assert (first - slow).abs().max() > 0.01


def test_labels_stay_within_their_range_and_sum_to_one():
    frames = random_frames(3, 6, 9, 14)
    fast, _ = both(frames, random_labels(2, 3, 9, 14), radius=3, top=5, temperature=0.1)
    assert fast.min() >= 0
    assert fast.max() <= 1
    torch.testing.assert_close(fast.sum(dim=0), torch.ones(9, 14))


def test_equal_features_and_one_label_give_that_label_everywhere():
    same = torch.ones(5, 7, 10)
    labels = [torch.zeros(2, 7, 10)]
    labels[0][1] = 1
    fast, _ = both([same, same], labels, radius=2, top=3, temperature=0.2)
    torch.testing.assert_close(fast, labels[0])


def test_a_window_of_one_cell_copies_labels():
    frames = random_frames(2, 4, 10, 9)
    labels = random_labels(1, 3, 10, 9)
    fast, _ = both(frames, labels, radius=0, top=15, temperature=0.2)
    torch.testing.assert_close(fast, labels[0])


def test_one_neighbour_at_low_temperature_is_the_nearest_cell():
    frames = random_frames(2, 16, 9, 9)
    labels = random_labels(1, 2, 9, 9)
    fast, _ = both(frames, labels, radius=20, top=1, temperature=1e-3)
    nearest = (unit(frames[0]).flatten(0, 1) @ unit(frames[1]).flatten(0, 1).T).argmax(dim=1)
    torch.testing.assert_close(fast.flatten(1), labels[0].flatten(1)[:, nearest])


def test_memory_holds_the_first_frame_and_the_last_ones():
    frames = [unit(frame) for frame in random_frames(6, 4, 5, 6)]
    labels = random_labels(6, 2, 5, 6)
    memory = Memory(Propagation(context=2, radius=9), frames[0], labels[0])
    for i in range(1, 5):
        memory.push(frames[i], labels[i])
    kept = (0, 3, 4)
    expected = propagate(frames[5], [frames[i] for i in kept], [labels[i] for i in kept], memory.settings)
    assert torch.equal(memory.label(frames[5]), expected)


def test_a_padded_context_repeats_the_first_frame():
    frames = [unit(frame) for frame in random_frames(3, 4, 5, 6)]
    labels = random_labels(2, 2, 5, 6)
    memory = Memory(Propagation(context=3, radius=9, pad=True, ties="first"), frames[0], labels[0])
    memory.push(frames[1], labels[1])
    expected = propagate(
        frames[2], [frames[i] for i in (0, 0, 0, 1)], [labels[i] for i in (0, 0, 0, 1)], memory.settings
    )
    assert torch.equal(memory.label(frames[2]), expected)


def test_a_context_that_does_not_fit_is_shortened():
    wished = Propagation()
    frame = 4 * 60 * 104 * (640 + 2 * 3)
    assert affordable(wished, (60, 104), 640, 3, 30 * frame) == wished
    assert affordable(wished, (60, 104), 640, 3, 29 * frame).context == 27
    assert affordable(wished, (60, 104), 640, 3, 3 * frame).context == 1
    with pytest.raises(InvalidInput, match="do not hold three frames of 104x60 cells"):
        affordable(wished, (60, 104), 640, 3, 3 * frame - 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"context": -1}, "context is -1"),
        ({"radius": 0, "window": "circle"}, "radius is 0"),
        ({"top": 0}, "top is 0"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"window": "round"}, "unknown window 'round'; use square or circle"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(InvalidInput, match=message):
        Propagation(**wrong)


def test_presets():
    assert settings_for({"top": 3}, radius=None).top == 3
    assert settings_for({"top": 3}, "davis-adm", radius=4) == Propagation(temperature=0.1, top=10, radius=4)
    with pytest.raises(InvalidInput, match="unknown preset 'x'; use davis"):
        settings_for({}, "x")
