"""Train the bundled model: a denoising UNet on pixel blocks, with a learned word table, resumable at any checkpoint."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing
import torch.nn.functional as F
from torch import Tensor, nn

from ..backbones.capture import attention_map, unet_taps
from ..backbones.pixels import PixelBlocks
from ..backbones.words import WordTable
from ..device import pick_dtype
from ..errors import InvalidInput, UnreadableFile
from ..files import check_writable, save_tensors
from .data import Batch, Batches, Photos, vocabulary
from .recipe import CHROMA, SCHEDULE, STRIDE, TOKENS, UNET, Recipe

CHECKPOINT = "checkpoint.safetensors"

NAMING_TEMPERATURE = 0.1
"""Of the softmax over the words that a feature may point to."""


class Pocket(nn.Module):
    """The trained parts together: UNet and word table."""

    def __init__(self, words: list[str]) -> None:
        from diffusers import UNet2DConditionModel

        super().__init__()
        self.unet = UNet2DConditionModel(**UNET)
        self.words = WordTable(words, UNET["cross_attention_dim"], TOKENS)
        self.encoder = PixelBlocks(STRIDE, CHROMA)
        self.taps = unet_taps(self.unet, STRIDE)


def _rate(recipe: Recipe, step: int) -> float:
    stage, within = recipe.at(step)
    first, last = stage.rate
    wave = 0.5 * (1 + math.cos(math.pi * within / max(1, stage.steps)))
    return min(1.0, (step + 1) / recipe.warmup) * (last + (first - last) * wave)


def _loss(pocket: Pocket, alphas: Tensor, batch: Batch, generator: torch.Generator, recipe: Recipe) -> Tensor:
    """The denoising error (v-prediction), how badly the questions' words are found, and how far attention strays."""
    device = alphas.device
    latent = pocket.encoder(batch.pictures.to(device) * 2 - 1).mean
    mean, spread = recipe.timesteps
    t = (torch.randn(len(latent), generator=generator) * spread + mean).sigmoid().mul(len(alphas)).long().to(device)
    noise = torch.randn(latent.shape, generator=generator).to(device)
    signal, sigma = alphas[t].sqrt().view(-1, 1, 1, 1), (1 - alphas[t]).sqrt().view(-1, 1, 1, 1)
    velocity = signal * noise - sigma * latent
    prompt, questions = (
        pocket.words(pocket.words.tokenize(texts).to(device)) for texts in (batch.prompts, batch.questions)
    )
    questions = questions.reshape(len(latent), -1, questions.shape[-1])
    format_ = pick_dtype(device)
    with (
        torch.autocast(device.type, format_, enabled=format_ is torch.bfloat16),
        _listening(pocket, recipe.grounding, questions) as found,
        _listening(pocket, recipe.gathering) as gathered,
        _watching(pocket, recipe.naming) as seen,
    ):
        predicted = pocket.unet(signal * latent + sigma * noise, t, prompt).sample
    brightness, chroma = (predicted.float() - velocity).square().split((STRIDE**2, 2 * STRIDE**2), dim=1)
    places, things = batch.places.to(device), batch.things.to(device)
    loss = brightness.mean() + recipe.chroma_weight * chroma.mean()
    if found:
        loss += recipe.grounding_weight * torch.stack([_grounding(own, places, alphas[t]) for own in found]).mean()
    if gathered:
        loss += recipe.gathering_weight * torch.stack([_gathering(own, things, alphas[t]) for own in gathered]).mean()
    if seen:
        loss += recipe.naming_weight * torch.stack([_naming(own, questions, places, alphas[t]) for own in seen]).mean()
    return loss


@contextmanager
def _listening(pocket: Pocket, layers: tuple[str, ...], context: Tensor | None = None) -> Iterator[list[Tensor]]:
    """Keep the attention of some layers as a pass runs: to the picture itself, or to another text than is shown.

    The queries are those of the pass; the maps (B, queries, keys) are appended layer by layer. A text that the network
    is not shown teaches it to know a part when nobody names it to it.
    """
    maps: list[Tensor] = []

    def keep(attn: Any, inputs: tuple[Tensor, ...]) -> None:
        maps.append(attention_map(attn, inputs[0], context))

    modules = {layer.name: layer.module for layer in pocket.taps.attention}
    kind = "attn1" if context is None else "attn2"
    handles = [pocket.unet.get_submodule(f"{modules[name]}.{kind}").register_forward_pre_hook(keep) for name in layers]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _watching(pocket: Pocket, stages: tuple[str, ...]) -> Iterator[list[Tensor]]:
    """Keep the features (B, C, h, w) of some transformers as a pass runs."""
    maps: list[Tensor] = []

    def keep(_module: Any, _inputs: Any, output: tuple[Tensor, ...]) -> None:
        maps.append(output[0])

    modules = {tap.name: tap.module for tap in pocket.taps.features}
    handles = [pocket.unet.get_submodule(modules[name]).register_forward_hook(keep) for name in stages]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def _grounding(attention: Tensor, places: Tensor, visibility: Tensor) -> Tensor:
    """How far the attention of tokens is from what they name (after TokenCompose, Wang et al., CVPR 2024).

    Every cell should attend to the tokens that name what it shows rather than to others that name something, and the
    attention of a token should lie where that is.

    Args:
        attention: (B, queries, tokens), rows sum to 1.
        places: (B, tokens, PLACES, PLACES), share of each cell that shows what a token names.
        visibility: (B,) weight of each row: how much of the picture the noise leaves.
    """
    side = math.isqrt(attention.shape[1])
    share = F.adaptive_avg_pool2d(places, side).flatten(2)
    named = (share.sum(dim=2) > 0.5).float()
    share = share * named[..., None]
    attention = attention.float().transpose(1, 2) * named[..., None] + 1e-6
    wanted = share / share.sum(dim=1, keepdim=True).clamp(min=1e-6)
    weight = visibility[:, None, None] * wanted
    by_cell = -(weight * (attention / attention.sum(dim=1, keepdim=True)).log()).sum() / weight.sum().clamp(min=1e-6)
    inside = (attention * share).sum(dim=2) / attention.sum(dim=2)
    weight = visibility[:, None] * named
    by_token = -(weight * inside.clamp(min=1e-4).log()).sum() / weight.sum().clamp(min=1e-6)
    return by_cell + by_token


def _gathering(attention: Tensor, things: Tensor, visibility: Tensor) -> Tensor:
    """How much of the attention of cells leaves the object that they show.

    Args:
        attention: (B, queries, keys) of a square picture to itself, rows sum to 1.
        things: (B, PLACES, PLACES), the object of each cell; rows of -1 do not count.
        visibility: (B,) weight of each row: how much of the picture the noise leaves.
    """
    side = math.isqrt(attention.shape[1])
    known = (things[:, 0, 0] >= 0).float()
    shown = F.one_hot(things.clamp(min=0)).permute(0, 3, 1, 2).float()
    share = F.adaptive_avg_pool2d(shown, side).flatten(2).transpose(1, 2)
    kept = (attention.float() @ share).clamp(min=1e-4)
    weight = (visibility * known)[:, None, None] * share
    return -(weight * kept.log()).sum() / weight.sum().clamp(min=1e-6)


def _naming(features: Tensor, words: Tensor, places: Tensor, visibility: Tensor) -> Tensor:
    """How far the features of cells point from the words for what the cells show, and to others (after GLIP, Li et al.,
    CVPR 2022).

    Args:
        features: (B, C, side, side).
        words: (B, tokens, C) of the questions.
        places: (B, tokens, PLACES, PLACES), share of each cell that shows what a token names.
        visibility: (B,) weight of each row: how much of the picture the noise leaves.
    """
    share = F.adaptive_avg_pool2d(places, features.shape[-1]).flatten(2)
    named = (share.sum(dim=2) > 0.5)[..., None]
    wanted = named * share / share.sum(dim=2, keepdim=True).clamp(min=1e-6)
    cosines = F.normalize(words.float(), dim=2) @ F.normalize(features.float().flatten(2), dim=1)
    weight = visibility[:, None, None] * wanted
    chosen = (cosines / NAMING_TEMPERATURE).masked_fill(~named, -1e4).log_softmax(dim=1)
    return -(weight * chosen).sum() / weight.sum().clamp(min=1e-6)


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


def _optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    return {f"adam.{i}.{k}": torch.as_tensor(v) for i, entry in state.items() for k, v in entry.items()}


def _restore_optimiser(optimiser: torch.optim.Optimizer, saved: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, value in saved.items():
        _, index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


@dataclass(frozen=True)
class _Run:
    """What `train` was asked for."""

    folder: Path
    recipe: Recipe
    photos: Photos
    start: Path | None
    device: str
    checkpoint_every: int
    stop_after: int | None
    progress: bool
    processes: int


@dataclass(frozen=True)
class _State:
    """Where a run stands: its model, the averaged one, the optimiser, steps done, and what tells it from other runs."""

    pocket: Pocket
    average: Pocket
    optimiser: torch.optim.Optimizer
    first: int
    identity: str


def train(
    folder: Path,
    recipe: Recipe,
    photos: Photos,
    *,
    start: Path | None = None,
    device: str = "cpu",
    checkpoint_every: int = 250,
    stop_after: int | None = None,
    progress: bool = True,
    processes: int = 1,
) -> Path:
    """Train, or go on training from the folder's checkpoint, and export the averaged weights.

    Args:
        folder: holds the checkpoint, ``log.jsonl``, sample pictures and, at the end of each slice, ``export/``.
        recipe: what to do; a checkpoint of another recipe is refused.
        photos: real photos to mix in; may be empty.
        start: a model of this architecture whose weights to start from, such as another run's export; new words start
            at random.
        device: a torch device.
        checkpoint_every: steps between checkpoints.
        stop_after: end this slice after so many steps; None runs to the end.
        progress: show a progress bar on stderr.
        processes: on a CPU, how many processes share each batch, each on its part of the cores; one a core is quickest.
            The batches stay the same, but noise is drawn, and words are weighed, within each part: the weights differ
            with the number.

    Returns:
        The folder with the exported model, in the layout of a Stable Diffusion folder.

    Raises:
        InvalidInput: if the folder holds a checkpoint of another recipe, vocabulary or number of processes, the weights
            to start from are of another architecture, or the batches cannot be shared by so many processes.
    """
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"{folder} is a file; give a folder")
    if processes < 1 or any(stage.batch % processes for stage in recipe.stages):
        batches = ", ".join(str(stage.batch) for stage in recipe.stages)
        raise InvalidInput(f"{processes} processes cannot share batches of {batches} equally; use a divisor")
    if processes > 1 and torch.device(device).type != "cpu":
        raise InvalidInput(f"{processes} processes are for a CPU, not for {device}; use one")
    check_writable(folder)
    Batches(recipe, photos)  # refuses seeds that are reserved before anything is written
    run = _Run(folder, recipe, photos, start, device, checkpoint_every, stop_after, progress, processes)
    state = _load(run)
    folder.mkdir(parents=True, exist_ok=True)
    if processes == 1:
        _train(run, state)
    else:
        torch.multiprocessing.spawn(_join, (run, _free_port()), nprocs=processes)
    return folder / "export"


def _load(run: _Run) -> _State:
    """From the folder's checkpoint, or where a new run begins."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    recipe, path = run.recipe, run.folder / CHECKPOINT
    words = vocabulary(run.photos, zoned=recipe.zone_share > 0)
    facts = {
        "recipe": asdict(recipe),
        "words": words,
        "photos": run.photos.digest(),
        "unet": UNET,
        "pixels": [STRIDE, CHROMA],
        "processes": run.processes,
    }
    torch.manual_seed(recipe.seed)
    pocket = Pocket(words)
    if run.start is not None:
        facts["start"] = _start_from(pocket, run.start)
    pocket = pocket.to(run.device)
    identity = json.dumps(facts, sort_keys=True)
    average = Pocket(words).to(run.device).requires_grad_(False)
    average.load_state_dict(pocket.state_dict())
    optimiser = torch.optim.AdamW(pocket.parameters(), lr=1.0, weight_decay=recipe.weight_decay, fused=True)
    first = 0
    if path.exists():
        try:
            with safe_open(path, "pt") as handle:
                meta = handle.metadata() or {}
            state = load_file(path, device=run.device)
        except (OSError, SafetensorError) as error:
            raise UnreadableFile(f"{path} is damaged ({error}); delete it to start anew") from None
        if meta.get("identity") != identity:
            raise InvalidInput(f"{run.folder} holds a checkpoint of another recipe; choose another folder or delete it")
        first = int(meta["step"])
        pocket.load_state_dict({k[6:]: v for k, v in state.items() if k.startswith("model.")})
        average.load_state_dict({k[4:]: v for k, v in state.items() if k.startswith("ema.")})
        _restore_optimiser(optimiser, {k: v for k, v in state.items() if k.startswith("adam.")})
    return _State(pocket, average, optimiser, first, identity)


def _free_port() -> int:
    """On this machine, for processes to meet."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def _join(number: int, run: _Run, port: int) -> None:
    """Train as one of several processes of this machine."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // run.processes))
    meeting = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=number, world_size=run.processes)
    try:
        _train(run, _load(run), number)
    finally:
        torch.distributed.destroy_process_group()


def _train(run: _Run, state: _State, number: int = 0) -> None:
    """The steps of this slice; the first process also writes."""
    from diffusers import DDPMScheduler
    from torch.utils.data import DataLoader
    from tqdm import tqdm

    recipe, pocket, average, optimiser, first = run.recipe, state.pocket, state.average, state.optimiser, state.first
    alphas = DDPMScheduler(**SCHEDULE).alphas_cumprod.to(run.device)
    last = recipe.steps if run.stop_after is None else min(recipe.steps, first + run.stop_after)
    batches = Batches(recipe, run.photos, first, (number, run.processes))
    drawers = 1 if torch.device(run.device).type == "cpu" else max(1, (os.cpu_count() or 1) - 1)
    loader = DataLoader(batches, batch_size=None, num_workers=drawers, prefetch_factor=4)
    bar = tqdm(total=recipe.steps, initial=first, unit="step", disable=number > 0 or not run.progress)
    running, parent = 0.0, torch.multiprocessing.parent_process() if run.processes > 1 else None
    for step, batch in zip(range(first, last), loader, strict=False):
        if parent is not None and not parent.is_alive():
            break  # whoever started this run was killed
        side = batch.pictures.shape[-1]
        generator = torch.Generator().manual_seed((recipe.seed * 1_000_003 + step) * run.processes + number)
        for group in optimiser.param_groups:
            group["lr"] = _rate(recipe, step)
        loss = _loss(pocket, alphas, batch, generator, recipe)
        loss.backward()
        if run.processes > 1:
            _share_gradients(pocket, run.processes)
        nn.utils.clip_grad_norm_(pocket.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        decay = min(recipe.ema, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(average.parameters()), list(pocket.parameters()), 1 - decay)
        running = loss.item() if step == first else 0.98 * running + 0.02 * loss.item()
        bar.update()
        bar.set_postfix(loss=f"{running:.4f}", side=side)
        done = step + 1
        if number == 0 and (done % run.checkpoint_every == 0 or done == last):
            tensors = {f"model.{k}": v for k, v in pocket.state_dict().items()}
            tensors |= {f"ema.{k}": v for k, v in average.state_dict().items()} | _optimiser_state(optimiser)
            save_tensors(tensors, run.folder / CHECKPOINT, {"identity": state.identity, "step": str(done)})
            with (run.folder / "log.jsonl").open("a") as log:
                log.write(json.dumps({"step": done, "loss": round(running, 5), "side": side}) + "\n")
        if number == 0 and (done % (4 * run.checkpoint_every) == 0 or done == last):
            _save_samples(average, run.folder / f"samples_{done:06d}.png", side)
    bar.close()
    if number == 0 and (parent is None or parent.is_alive()):
        export(average, run.folder / "export")


def _share_gradients(pocket: Pocket, processes: int) -> None:
    """Give every process the mean of all."""
    gradients = [parameter.grad for parameter in pocket.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    pieces = flat.div_(processes).split([gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


def _start_from(pocket: Pocket, folder: Path) -> str:
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


def _save_samples(pocket: Pocket, path: Path, side: int) -> None:
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
