from __future__ import annotations

import pytest

from diffsight.backbones.registry import CARDS, load, task_settings
from diffsight.errors import InvalidInput, ModelUnavailable


@pytest.fixture
def _offline(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_unknown_names_get_a_suggestion():
    with pytest.raises(InvalidInput, match="did you mean 'pocket'"):
        load("pockett")


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("name", ["sd-2.1", "sd-1.5", "someone/something@main"])
def test_without_network_and_weights_one_message_lists_the_ways_out(name):
    with pytest.raises(ModelUnavailable, match="Ways out") as caught:
        load(name)
    text = str(caught.value)
    assert "\n" not in text
    assert "--model pocket" in text
    assert ("removed" in text) == name.startswith("sd-")


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(ModelUnavailable, match="not a model folder"):
        load(tmp_path)


def test_an_empty_file_is_no_model(tmp_path):
    (tmp_path / "model.bin").touch()
    with pytest.raises(ModelUnavailable, match="damaged"):
        load(tmp_path / "model.bin")


@pytest.mark.parametrize(("device", "dtype"), [("warp", None), ("cpu", "float8"), ("meta", None)])
def test_devices_and_formats_are_checked(device, dtype):
    with pytest.raises(InvalidInput, match="cpu|float32"):
        load("pocket", device=device, dtype=dtype)


def test_every_card_has_every_task():
    for card in CARDS.values():
        for task in ("semantic", "geometric", "temporal"):
            settings = task_settings(card, task)
            assert 0 <= settings.timestep < 1000
    with pytest.raises(InvalidInput, match="semantic, geometric, temporal"):
        task_settings(CARDS["pocket"], "odd")


def test_the_settings_of_the_paper():
    semantic = CARDS["sd-2.1"].tasks["semantic"]
    assert (semantic.stage, semantic.timestep, semantic.ensemble, semantic.size) == ("up1", 261, 8, (768, 768))
    geometric = CARDS["sd-2.1"].tasks["geometric"]
    assert (geometric.stage, geometric.timestep) == ("up2", 0)
