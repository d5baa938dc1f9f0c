from __future__ import annotations

import json

import pytest
import torch

from diffsight.backbones.captioner import Captioner
from diffsight.backbones.registry import load
from diffsight.cli import run
from diffsight.errors import ModelUnavailable
from diffsight.grid import Fit
from diffsight.images import load_picture, resize
from diffsight.segmentation.segmenter import Segmenter

from ..cli.test_cli import fails

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "on", "grass", "[DEC]"]


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    """A BLIP captioner of random weights, leant towards saying "dog"."""
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration

    folder = tmp_path_factory.mktemp("blip")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": len(WORDS), "bos_token_id": 9, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    config = BlipConfig(
        text_config={**small, **text, "encoder_hidden_size": 32, "max_position_embeddings": 40},
        vision_config={**small, "image_size": 16, "patch_size": 8},
    )
    torch.manual_seed(0)
    network = BlipForConditionalGeneration(config)
    with torch.no_grad():
        network.text_decoder.cls.predictions.bias[WORDS.index("dog")] = 1e3
    network.save_pretrained(folder)
    size = {"size": {"height": 16, "width": 16}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(size))
    return folder


def test_it_reads_what_the_network_sees_as_the_model_was_trained_to(blip, rng):
    captioner = Captioner(blip, device="cpu")
    seen = []
    captioner.network.vision_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True
    )
    picture = load_picture(rng.random((20, 40, 3)).astype("float32"))
    sentence = captioner(picture, Fit.make("crop", (20, 40), (64, 64)))
    assert set(sentence.split()) == {"dog"}
    wanted = resize(picture.image[:, :, 10:30], 16, 16)
    for channel, (mean, std) in enumerate(((0.5, 0.2), (0.4, 0.3), (0.3, 0.4))):
        torch.testing.assert_close(seen[0][0, channel], (wanted[channel] - mean) / std)


def test_segments_are_called_by_the_words_of_its_sentence(blip, tiny_sd, rng):
    segmenter = Segmenter(load(tiny_sd, device="cpu", dtype="float32"), size=(128, 128))
    found = segmenter.segment(rng.random((40, 60, 3)), caption=Captioner(blip, device="cpu"))
    assert set(found.names) == {"dog"}


def test_from_the_command_line(blip, tiny_sd, rng, tmp_path, capsys):
    from PIL import Image

    Image.fromarray(rng.integers(0, 255, (40, 60, 3), "uint8")).save(tmp_path / "a.png")
    command = [
        "segment",
        str(tmp_path / "a.png"),
        "--out",
        str(tmp_path / "o"),
        "--model",
        str(tiny_sd),
        "--size",
        "64",
    ]
    command += ["--anchors", "4", "--device", "cpu", "--captioner"]
    assert run([*command, str(blip)]) == 0
    capsys.readouterr()
    report = json.loads((tmp_path / "o" / "a.json").read_text())
    assert {segment["name"] for segment in report["segments"]} == {"dog"}
    assert report["naming"]["captioner"] == str(blip)
    assert "give one of them" in fails(capsys, *command, str(blip), "--caption", "a dog")
    assert "none cannot be loaded" in fails(capsys, *command, str(tmp_path / "none"))


@pytest.mark.parametrize("damage", ["preprocessor_config.json", "model.safetensors", "config.json"])
def test_damaged_folders(blip, tmp_path, damage):
    for file in blip.iterdir():
        (tmp_path / file.name).write_bytes(b"{" if file.name == damage else file.read_bytes())
    with pytest.raises(ModelUnavailable, match=f"{damage} was not read|give a folder with a BLIP"):
        Captioner(tmp_path, device="cpu")
