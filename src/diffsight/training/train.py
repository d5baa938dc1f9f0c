"""Train the bundled model: a denoising UNet on pixel blocks, with a learned word table, resumable at any checkpoint."""

from __future__ import annotations

import json
import math
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing
from torch import Tensor, nn

from ..errors import InvalidInput, UnreadableFile
from ..files import check_writable, save_tensors
from .data import Batches, Photos, vocabulary
from .lessons import training_loss
from .pocket import Pocket, export, save_samples, start_from
from .recipe import CHROMA, SCHEDULE, STRIDE, UNET, Recipe

CHECKPOINT = "checkpoint.safetensors"


def _rate(recipe: Recipe, step: int) -> float:
    stage, within = recipe.at(step)
    first, last = stage.rate
    wave = 0.5 * (1 + math.cos(math.pi * within / max(1, stage.steps)))
    return min(1.0, (step + 1) / recipe.warmup) * (last + (first - last) * wave)


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
    state = _load(run)  # with several processes, only to refuse here what they would
    folder.mkdir(parents=True, exist_ok=True)
    if processes == 1:
        _train(run, state)
    else:
        del state
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
        facts["start"] = start_from(pocket, run.start)
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
        loss = training_loss(pocket, alphas, batch, generator, recipe)
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
            save_samples(average, run.folder / f"samples_{done:06d}.png", side)
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
