from __future__ import annotations

import huggingface_hub
import pytest
import torch
import torch.nn.functional as F

from diffsight.backbones.base import ReadSettings, clean_settings
from diffsight.backbones.cards import CARDS
from diffsight.backbones.weights import NETWORKS
from diffsight.backbones.weights.places import ROOT_VARIABLE
from diffsight.errors import InvalidInput, ModelUnavailable
from diffsight.readers import CHOICES, RECIPES, Fused, ModelReader, Stages, open_reader

HERE = {"device": "cpu", "dtype": "float32"}
POCKET = [name for name, recipe in RECIPES.items() if recipe.models == ("pocket",)]


@pytest.fixture
def places(tiny_sd, tiny_sd2, tiny_dino, monkeypatch, tmp_path):
    """Tiny networks in the places of the large ones."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))

    def put(*models):
        for model in models:
            folder = tiny_dino if "dino" in model else tiny_sd2 if "sd-2" in model else tiny_sd
            monkeypatch.setenv(NETWORKS[model].variable, str(folder))

    return put


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_name_networks_and_stages_that_exist(name, places):
    recipe = RECIPES[name]
    places(*(model for model in recipe.models if model != "pocket"))
    reader = open_reader(name, recipe.tasks[0], **HERE)
    assert isinstance(reader, Fused)
    assert reader.name == name
    assert len(reader.parts) == len(reader.channels) == len(recipe.parts)
    assert [part.name for part in reader.parts] == [part.model for part in recipe.parts]


@pytest.mark.parametrize(("name", "timestep", "noise"), [("sd+dino", 50, True), ("cleandift+dino", 261, False)])
def test_diffusion_and_tokens_are_read_as_the_papers_do(name, timestep, noise, places):
    places(*RECIPES[name].models)
    diffusion, tokens = open_reader(name, **HERE).parts
    assert isinstance(diffusion, Stages)
    assert diffusion.taps.features == ("up2.a1", "up1.a1", "up0.r1")
    assert not diffusion.even
    wanted = ReadSettings("up2.a1", timestep, ensemble=1, size=(960, 960), fit="pad", noise=noise)
    assert diffusion.settings == wanted
    assert tokens.settings == clean_settings("last", (840, 840), "pad")


def test_diffusion_and_tokens_on_one_grid(places, pictures):
    places("sd-1.5", "dinov2-b")
    reader = open_reader("sd+dino", **HERE)
    (reading,) = reader.read(pictures[:1])
    assert reading.grid() == (60, 60)
    assert reading.fit.network == (960, 960)
    for own, part in zip(reading.feature().split(reader.channels), reader.parts, strict=True):
        alone = F.normalize(part.read(pictures[:1])[0].feature(), dim=0)
        torch.testing.assert_close(own.norm(dim=0), torch.full((60, 60), 0.5**0.5))
        assert F.cosine_similarity(own, alone, dim=0)[20:40, 20:40].min() > 0.99  # padding differs by a pixel at most


def test_a_choice_takes_what_is_at_hand_and_says_so(places):
    assert CHOICES["diffusion+dino"] == ("cleandift+dino", "sd+dino")
    places("sd-1.5", "dinov2-b")
    reader = open_reader("diffusion+dino", **HERE)
    assert (reader.name, reader.parts[0].name) == ("sd+dino", "sd-1.5")
    places("cleandift-sd-1.5")
    reader = open_reader("diffusion+dino", **HERE)
    assert (reader.name, reader.parts[0].name) == ("cleandift+dino", "cleandift-sd-1.5")
    assert open_reader("sd+dino", **HERE).name == "sd+dino"


def test_weights_that_cannot_be_had(places):
    places("dinov2-b")
    with pytest.raises(ModelUnavailable, match=r"'sd-1\.5' cannot be had"):
        open_reader("diffusion+dino", **HERE)


def test_one_network_in_two_parts_is_loaded_once(places):
    places("sd-2.1", "dinov2-b")
    semantic, geometric, tokens = open_reader("one-descriptor", "geometric", **HERE).parts
    assert semantic.backbone is geometric.backbone
    assert semantic.settings == CARDS["sd-2.1"].tasks["semantic"]
    assert geometric.settings == CARDS["sd-2.1"].tasks["geometric"]
    assert tokens.settings == CARDS["dinov2-b"].tasks["semantic"]


def test_changes_reach_the_parts_that_know_them(places):
    places("sd-1.5", "dinov2-b")
    diffusion, tokens = open_reader("sd+dino", prompt="a dog", seed=3, ensemble=2, **HERE).parts
    assert (diffusion.settings.prompt, diffusion.settings.seed, diffusion.settings.ensemble) == ("a dog", 3, 2)
    assert tokens.settings == CARDS["dinov2-b"].tasks["semantic"]


def test_weights_replace_the_recipes_own(places):
    places("sd-1.5", "dinov2-b")
    assert open_reader("sd+dino", weights=(1, 3), **HERE).weights == (0.25, 0.75)
    assert open_reader("sd+dino", weights=(0, 1), **HERE).channels == (24,)


@pytest.mark.parametrize("name", POCKET)
def test_recipes_of_the_bundled_model_read_photos(name, pictures, tmp_path):
    reader = open_reader(name, store=tmp_path, **HERE)
    first, second = reader.read(pictures)
    assert first.feature().shape[0] == sum(reader.channels)
    assert first.feature().isfinite().all()
    kept = open_reader(name, store=tmp_path, **HERE)
    assert kept.fingerprint == reader.fingerprint
    assert torch.equal(kept.read(pictures)[1].feature(), second.feature())


def test_anything_else_is_one_model(tiny_sd):
    reader = open_reader("pocket", "geometric", seed=4, **HERE)
    assert isinstance(reader, ModelReader)
    assert (reader.name, reader.settings.stage, reader.settings.seed) == ("pocket", "up1", 4)
    assert isinstance(open_reader(tiny_sd, **HERE), ModelReader)
    assert open_reader(reader.backbone).backbone is reader.backbone


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (("sd+dinosaur",), {}, "unknown model 'sd.dinosaur'"),
        (("sd+dino", "geometric"), {}, "'sd.dino' does not serve the task 'geometric'; it serves semantic"),
        (("sd+dino",), {"size": (64, 64)}, "fixes 'size'; it takes prompt, seed, ensemble and weights"),
        (("sd+dino",), {"weights": (1, 2, 3)}, "3 weights do not suit 2 parts"),
        (("pocket",), {"weights": (1, 2)}, "are for the parts of a recipe"),
    ],
)
def test_mistakes(arguments, changes, message, places):
    places("sd-1.5", "dinov2-b")
    with pytest.raises(InvalidInput, match=message) as caught:
        open_reader(*arguments, **HERE, **changes)
    assert "\n" not in str(caught.value)
