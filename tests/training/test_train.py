from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from diffsight.backbones.registry import load
from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.images import load_picture
from diffsight.probe import Probe
from diffsight.training import recipe as recipes
from diffsight.training.data import (
    PLACES,
    Batches,
    Photos,
    _ask_caption,
    _ask_labels,
    _ask_zones,
    _develop,
    _things,
    vocabulary,
)
from diffsight.training.pocket import Pocket, start_from
from diffsight.training.recipe import Recipe, Stage
from diffsight.training.train import CHECKPOINT, train
from diffsight.world import categories, make_scene
from diffsight.world.zones import zone_masks

TINY = Recipe(
    stages=(Stage(32, 4, 16, (1e-3, 1e-3)), Stage(64, 2, 8, (1e-3, 1e-4))),
    first_picture=0,
    empty_share=0.3,
    photo_share=0.2,
    zone_share=0.5,
    label_share=0.8,
    warmup=2,
)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setitem(recipes.UNET, "block_out_channels", (16, 32, 32))
    monkeypatch.setitem(recipes.UNET, "cross_attention_dim", 32)


@pytest.fixture
def photos(tmp_path, rng):
    captions = {}
    with tarfile.open(tmp_path / "pack.tar", "w") as tar:
        for i in range(3):
            data = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (70, 90, 3), np.uint8)).save(data, "JPEG")
            captions[f"{i}.jpg"] = "a photo of tulips"
            _add(tar, f"{i}.jpg", data.getvalue())
        _add(tar, "captions.json", json.dumps(captions).encode())
    return Photos.read(tmp_path / "pack.tar")


def _add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def test_batches_are_a_function_of_the_step(photos):
    a, b = Batches(TINY, photos), Batches(TINY, photos, first=3)
    for x, y in zip([a[3], a[5]], [b[0], b[2]], strict=True):
        assert torch.equal(x.pictures, y.pictures)
        assert x.prompts == y.prompts
        assert x.questions == y.questions
        assert torch.equal(x.places, y.places)
    assert a[0].pictures.shape == (4, 3, 32, 32)
    assert a[7].pictures.shape == (2, 3, 64, 64)
    assert torch.equal(a[7].things, Batches(TINY, photos)[7].things)
    assert a[7].places.shape == (2, 96, 48, 48)
    assert a[7].things.shape == (2, 48, 48)
    assert len(a[7].questions) == 2 * 3


def _shares(mask):
    """The share of each 2x2 block."""
    return mask.astype(float).reshape(48, 2, 48, 2).mean(axis=(1, 3))


def test_a_caption_asks_for_parts_by_name():
    scene = make_scene(3, 96, kinds=("bird",))
    question = _ask_caption(scene, ["bird", "grey", "wing", "leg", "left"])
    names = np.array(["", *(part.name for part in categories()["bird"].parts)])[scene.parts]
    for token, mask in ((0, scene.parts == 0), (1, scene.parts > 0), (3, names == "wing"), (4, names == "leg")):
        assert mask.any()
        np.testing.assert_allclose(question.places[token], _shares(mask), atol=1e-6)
    assert not question.places[[2, 5]].any()


def test_labels_tell_siblings_apart(rng):
    scene = make_scene(3, 96, kinds=("face", "dog"))
    question = _ask_labels(scene, rng)
    text = " ".join(question.words)
    assert set(question.words) <= set(vocabulary(Photos()))
    for number, (kind, label) in enumerate((("face", "left brow"), ("dog", "near hind leg")), start=1):
        mask = (scene.instances == number) & (scene.parts == categories()[kind].labels.index(label) + 1)
        token = len(text[: text.index(label) + len(label)].split())
        if token < len(question.places):
            np.testing.assert_allclose(question.places[token], _shares(mask), atol=1e-6)
    with_place = {question.words[token - 1] for token in range(1, len(question.places)) if question.places[token].any()}
    assert with_place.isdisjoint({"left", "right", "near", "far", "front"})


def test_zones_are_asked_for_at_their_nouns(rng):
    scene = make_scene(3, 96, kinds=("dog",))
    questions = _ask_zones(scene, rng, 3)
    assert 2 <= len(questions) <= 3
    masks = {zone.label: mask for zone, mask in zone_masks(scene)}
    seen = 0
    for question in questions:
        assert len(question.words) < 32
        assert set(question.words) <= set(vocabulary(Photos(), zoned=True))
        text = " ".join(question.words)
        np.testing.assert_allclose(question.places[0], _shares(scene.instances == 0), atol=1e-6)
        label = "near hind leg bottom"
        if label in text:
            noun = len(text[: text.index(label) + len("near hind leg")].split())
            np.testing.assert_allclose(question.places[noun], _shares(masks[label]), atol=1e-6)
            seen += 1
    assert seen == 1


def test_things_are_told_apart():
    scene = make_scene(12, 96, count=3)
    things = _things(scene)
    assert things.shape == (PLACES, PLACES)
    assert set(np.unique(things)) == set(range(4)) | ({4} if (scene.instances == 255).any() else set())


def test_captions_are_thinned_and_sometimes_empty():
    batches = Batches(replace(TINY, stages=(Stage(32, 200, 200, (1e-3, 1e-3)),)), Photos())
    captions = batches[0].prompts
    assert 40 <= sum(caption == "" for caption in captions) <= 80
    known = set(vocabulary(Photos()))
    assert all(word in known for caption in captions for word in caption.split())


def test_pictures_are_developed_like_photos(rng):
    image = make_scene(3, 64).image
    np.testing.assert_array_equal(_develop(image, rng, 0.0), image)
    for _ in range(5):
        developed = _develop(image, rng, 1.0)
        assert developed.shape == image.shape
        assert developed.dtype == np.uint8
        grey = [np.ptp(picture.astype(int), axis=2).mean() for picture in (developed, image)]
        assert grey[0] < grey[1]


def test_reserved_seeds_are_never_trained_on():
    with pytest.raises(InvalidInput, match="reserved"):
        Batches(replace(TINY, stages=(Stage(64, 1000, 2_000_000_000, (1e-3, 1e-3)),)), Photos())


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, photos):
    whole = train(tmp_path / "whole", TINY, photos, progress=False)
    train(tmp_path / "parts", TINY, photos, stop_after=3, progress=False)
    parts = train(tmp_path / "parts", TINY, photos, progress=False)
    for name in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
    assert (tmp_path / "parts" / CHECKPOINT).exists()
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert steps == [3, 8]
    assert list((tmp_path / "parts").glob("samples_*.png"))


def test_processes_share_each_batch(photos):
    whole, *halves = (Batches(TINY, photos, share=share)[0] for share in ((0, 1), (0, 2), (1, 2)))
    assert torch.equal(torch.stack([half.pictures for half in halves], dim=1).flatten(0, 1), whole.pictures)
    assert [prompt for both in zip(*(half.prompts for half in halves), strict=True) for prompt in both] == whole.prompts


def test_batches_that_processes_cannot_share_are_refused(tmp_path, photos):
    with pytest.raises(InvalidInput, match="divisor"):
        train(tmp_path, TINY, photos, processes=3)


def test_what_was_trained_can_be_read(tmp_path, photos, rng):
    folder = train(tmp_path / "run", TINY, photos, progress=False)
    backbone = load(folder, device="cpu", dtype="float32")
    (reading,) = Probe(backbone).read([load_picture(rng.random((40, 50, 3)))], backbone.card.tasks["semantic"])
    assert torch.isfinite(reading.feature()).all()
    assert backbone.context(["a bird, red wing"]).shape == (1, 32, 32)


def test_training_learns(tmp_path):
    steps = 60
    stages = (Stage(32, 8, 8 * steps, (2e-3, 2e-3)),)
    recipe = Recipe(stages, questions=1, zone_share=0.0, gathering=(), naming=(), warmup=5)
    train(tmp_path, recipe, Photos(), checkpoint_every=5, progress=False)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.85 * losses[0]


def test_another_recipe_is_refused(tmp_path):
    train(tmp_path, TINY, Photos(), stop_after=1, progress=False)
    with pytest.raises(InvalidInput, match="another recipe"):
        train(tmp_path, replace(TINY, seed=1), Photos(), progress=False)


def test_photos_without_captions_or_files_are_named(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(UnreadableFile, match=r"captions\.json"):
        Photos.read(tmp_path / "photos")
    with pytest.raises(UnreadableFile, match="folder or a whole tar"):
        Photos.read(tmp_path / "missing.tar")


@pytest.mark.parametrize(
    ("captions", "photo", "message"),
    [({"a.jpg": 5}, b"", "give text"), ({"a.jpg": "x"}, b"no photo", "decoded"), ({"b.jpg": "x"}, b"", "none of")],
)
def test_photos_that_cannot_be_trained_on_are_named_at_the_start(tmp_path, captions, photo, message):
    (tmp_path / "a.jpg").write_bytes(photo)
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    with pytest.raises(UnreadableFile, match=message):
        Photos.read(tmp_path)


def test_a_cut_archive_is_named(tmp_path, photos):
    import gzip

    cut = gzip.compress((tmp_path / "pack.tar").read_bytes())[:-500]
    (tmp_path / "cut.tar.gz").write_bytes(cut)
    with pytest.raises(UnreadableFile, match="whole tar"):
        Photos.read(tmp_path / "cut.tar.gz")


def test_other_photos_are_another_run(tmp_path, photos):
    train(tmp_path / "run", TINY, photos, stop_after=1, progress=False)
    fewer = replace(photos, encoded=photos.encoded[:2], captions=photos.captions[:2])
    with pytest.raises(InvalidInput, match="another recipe"):
        train(tmp_path / "run", TINY, fewer, progress=False)


def test_a_run_starts_from_another_ones_weights(tmp_path, photos):
    first = train(tmp_path / "a", TINY, photos, stop_after=1, progress=False)
    later = replace(TINY, first_picture=24)
    pocket = Pocket(vocabulary(Photos()))  # without the photos' words
    start_from(pocket, first)
    saved = load(first, device="cpu", dtype="float32")
    for name, value in saved.unet.state_dict().items():
        assert torch.equal(pocket.unet.state_dict()[name], value)
    table = saved.text.table
    rows = [words.table.weight[words.index["wing"]] for words in (pocket.words, table)]
    assert torch.equal(*rows)
    train(tmp_path / "b", later, Photos(), start=first, stop_after=1, progress=False)
    with pytest.raises(InvalidInput, match="another recipe"):
        train(tmp_path / "b", later, Photos(), stop_after=1, progress=False)
    with pytest.raises(InvalidInput, match="cannot start from"):
        train(tmp_path / "d", TINY, photos, start=tmp_path / "none", progress=False)
    weights = first / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InvalidInput, match="cannot start from"):
        train(tmp_path / "d", TINY, photos, start=first, progress=False)
    with pytest.raises(InvalidInput, match="reserved"):
        train(tmp_path / "e", replace(TINY, first_picture=-1), photos, progress=False)


def test_photos_are_mixed_into_world_pictures_by_degrees(photos):
    plain = Batches(replace(TINY, photo_share=0.0), photos)
    mixed = Batches(replace(TINY, photo_share=0.0, mixing=(0, 8), backdrop_share=1.0, veil_share=1.0), photos)
    changed = [not torch.equal(a, b) for a, b in zip(plain[0].pictures, mixed[0].pictures, strict=True)]
    assert not changed[0]  # the first picture is before the mixing
    assert all(not torch.equal(a, b) for a, b in zip(plain[3].pictures, mixed[3].pictures, strict=True))
    assert "on" not in " ".join(mixed[3].questions).split()
