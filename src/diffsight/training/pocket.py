"""The model that is trained, and its way to the disk and back."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import torch
from torch import Tensor, nn

from ..backbones.capture import unet_taps
from ..backbones.pixels import PixelBlocks
from ..backbones.words import WordTable
from ..errors import InvalidInput
from .recipe import CHROMA, SCHEDULE, STRIDE, TOKENS, UNET


class Pocket(nn.Module):
    """The trained parts together: UNet and word table."""

    def __init__(self, words: list[str]) -> None:
        from diffusers import UNet2DConditionModel

        super().__init__()
        self.unet = UNet2DConditionModel(**UNET)
        self.words = WordTable(words, UNET["cross_attention_dim"], TOKENS)
        self.encoder = PixelBlocks(STRIDE, CHROMA)
        self.taps = unet_taps(self.unet, STRIDE)


@torch.no_grad()
def sample(pocket: Pocket, captions: list[str], side: int, *, steps: int = 25, seed: int = 0) -> Tensor:
    """Paint captions: (N, 3, side, side) in [0, 1]."""
    from diffusers import DDIMScheduler

    device = next(pocket.parameters()).device
    scheduler = DDIMScheduler(**SCHEDULE, set_alpha_to_one=False)
    scheduler.set_timesteps(steps)
    shape = (len(captions), UNET["in_channels"], side // STRIDE, side // STRIDE)
    latent = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)
    context = pocket.words(pocket.words.tokenize(captions).to(device))
    empty = pocket.words(pocket.words.tokenize([""] * len(captions)).to(device))
    for t in scheduler.timesteps:
        both = pocket.unet(torch.cat([latent, latent]), t, torch.cat([context, empty])).sample
        told, free = both.chunk(2)
        latent = scheduler.step(free + 3.0 * (told - free), t, latent).prev_sample
    return (pocket.encoder.decode(latent) / 2 + 0.5).clamp(0, 1)


def save_samples(pocket: Pocket, path: Path, side: int) -> None:
    """Paint eight captions side by side, to look at."""
    from PIL import Image

    captions = [
        "a bird, blue body, red wing, yellow beak, facing left, on green",
        "a car, red body, black wheel, white roof, facing right, on grey",
        "a face, pink skin, brown hair, red mouth, facing front, on blue",
        "a dog, brown body, white leg, black ear, facing right, on yellow",
        "a fish, orange body, blue tail, facing left, on cyan",
        "a flower, yellow petal, brown heart, green leaf, on white",
        "sunflowers",
        "person in street clothes",
    ]
    known = set(pocket.words.words)
    texts = [" ".join(w for w in c.replace(",", " ").split() if w in known) for c in captions]
    grid = sample(pocket, texts, side).permute(0, 2, 3, 1)
    row = torch.cat(list(grid), dim=1)
    Image.fromarray((row.cpu().numpy() * 255).round().astype("uint8")).save(path)


def start_from(pocket: Pocket, folder: Path) -> str:
    """Take over the weights of an exported model, words by their spelling; returns a digest of them."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        unet = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
        table = WordTable.from_pretrained(folder / "text_encoder")
        pocket.unet.load_state_dict({name: value.float() for name, value in unet.items()})
        pocket.words.mix.load_state_dict(table.mix.state_dict())
        shared = [word for word in table.words if word in pocket.words.index]
        with torch.no_grad():
            pocket.words.place.copy_(table.place)
            pocket.words.table.weight[[pocket.words.index[word] for word in shared]] = table.table.weight[
                [table.index[word] for word in shared]
            ]
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidInput(
            f"cannot start from {folder}: {reason}; give a folder like DIR/export of this recipe"
        ) from None
    digest = hashlib.blake2b(digest_size=16)
    for value in pocket.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def export(pocket: Pocket, folder: Path) -> Path:
    """Write the model in fp16, in the layout of a Stable Diffusion folder, and return the folder.

    It is written beside the folder first, so that an interruption never leaves half of it.
    """
    from diffusers import DDPMScheduler

    final, folder = folder, folder.with_name(f".{folder.name}.part")
    shutil.rmtree(folder, ignore_errors=True)
    half = Pocket(list(pocket.words.words[2:]))
    half.load_state_dict(pocket.state_dict())
    half.half()
    half.unet.save_pretrained(folder / "unet")
    half.words.save_pretrained(folder / "text_encoder")
    half.encoder.save_pretrained(folder / "pixels")
    DDPMScheduler(**SCHEDULE).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "PocketPipeline",
        "pixels": ["diffsight", "PixelBlocks"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "text_encoder": ["diffsight", "WordTable"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=1) + "\n")
    shutil.rmtree(final, ignore_errors=True)
    return folder.rename(final)
