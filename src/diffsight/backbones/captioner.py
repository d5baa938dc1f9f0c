"""A sentence about a photo, for naming its segments: BLIP (Li et al., ICML 2022) through transformers."""

from __future__ import annotations

from pathlib import Path

import torch

from ..device import pick_device
from ..grid import Fit
from ..images import resize
from ..types import Picture
from .loading import refusing
from .weights.files import read_config

LONGEST = 30
"""Tokens of a caption at most."""


class Captioner:
    """Describes what the network sees of a photo.

    Args:
        model: a folder with a BLIP captioning model in the layout of the hub (config.json, model.safetensors,
            preprocessor_config.json, vocab.txt), or a hub id such as ``Salesforce/blip-image-captioning-base``.
        device: a torch device; the best one at hand if left out.

    Raises:
        ModelUnavailable: if the weights cannot be had.
    """

    def __init__(self, model: str | Path, *, device: str | None = None) -> None:
        from huggingface_hub import snapshot_download
        from transformers import AutoTokenizer, BlipForConditionalGeneration

        where = pick_device(device)
        advice = "give a folder with a BLIP captioning model, or the words themselves (--names, --caption)"
        with refusing(f"the captioner {model}", advice):
            folder = Path(model).expanduser()
            if not folder.is_dir():
                folder = Path(snapshot_download(str(model), allow_patterns=["*.json", "*.txt", "model.safetensors"]))
            facts = read_config(folder / "preprocessor_config.json")
            self.size = (int(facts["size"]["height"]), int(facts["size"]["width"]))
            self.mean, self.std = (torch.tensor(facts[key]).view(3, 1, 1) for key in ("image_mean", "image_std"))
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
            network = BlipForConditionalGeneration.from_pretrained(folder, use_safetensors=True)
        self.network = network.eval().requires_grad_(False).to(where)

    def __call__(self, picture: Picture, fit: Fit) -> str:
        """A sentence about the part of the photo that the network sees; always the same one for the same photo."""
        top, bottom, left, right = fit.window
        pixels = resize(picture.image[:, top:bottom, left:right], *self.size)
        pixels = ((pixels - self.mean) / self.std)[None].to(self.network.device)
        tokens = self.network.generate(pixel_values=pixels, max_new_tokens=LONGEST, do_sample=False, num_beams=1)
        start = self.network.config.text_config.bos_token_id
        return str(self.tokenizer.decode([t for t in tokens[0].tolist() if t != start], skip_special_tokens=True))
