"""Build networks from their files; whatever goes wrong with a stranger's files is one line."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from ..errors import DiffsightError, ModelUnavailable
from .weights.files import check_whole, read_config, read_state
from .weights.layout import STEMS, Missing, weight_files

DECODER = ("decoder", "post_quant_conv")
"""The half of an autoencoder that is never loaded."""

ONE_NETWORK = "configuration and weights must be of one network"


@contextmanager
def refusing(what: object, advice: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into one line: the libraries fail in any way on a damaged configuration.

    Args:
        what: was being loaded: a file, a folder, or words that name it.
        advice: what to give instead.

    Raises:
        ModelUnavailable: instead of all but our own errors and those that are not the files' fault.
    """
    try:
        yield
    except (DiffsightError, ImportError, MemoryError):
        raise
    except Exception as error:
        kind = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
        reason = shorten(f"{kind}{error}", 300, placeholder=" ...")
        raise ModelUnavailable(f"{what} cannot be loaded ({reason}); {advice}") from error


@contextmanager
def uncollected() -> Iterator[None]:
    """Import and build without garbage collection, which would go through all that libraries define again and again.

    It finds nothing there, and takes a quarter of the seconds of loading the bundled model.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def load_module(
    kind: Any, folder: Path, device: torch.device, dtype: torch.dtype, without: tuple[str, ...] = ()
) -> Any:
    """A diffusers module from its folder, without its unwanted children, its weights held once in memory.

    Raises:
        ModelUnavailable: names the file that is missing or damaged, or what disagrees.
    """
    config = read_config(folder / "config.json")
    files = _weight_files(folder, STEMS["unet"], dtype)
    state = {name: tensor for path in files for name, tensor in read_state(path).items()}
    with refusing(folder, ONE_NETWORK):
        return build_module(kind, config, state, device, dtype, without)


def build_module(
    kind: Any,
    config: dict[str, Any],
    state: dict[str, Tensor],
    device: torch.device,
    dtype: torch.dtype,
    without: tuple[str, ...] = (),
) -> Any:
    """A diffusers module with given weights, without its unwanted children."""
    with torch.device("meta"):
        module = kind.from_config(config)
    for child in without:
        setattr(module, child, None)
    kept = {_modern(k): v.to(device, dtype) for k, v in state.items() if k.split(".")[0] not in without}
    module.load_state_dict(kept, assign=True)
    return module


def load_transformer(kind: Any, folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    """A model of the transformers library from its folder, quietly and whole.

    Args:
        kind: its class.
        folder: with ``config.json`` and the weights; those of parts that the class lacks are left out.
        dtype: of the run: the 16-bit files are taken for a 16-bit one, if they are there.
        **options: for ``from_pretrained``.

    Raises:
        ModelUnavailable: names the file that is missing or damaged, or what disagrees; the library itself would make
            up weights that are missing, and leave out layers that the configuration does not count.
    """
    read_config(folder / "config.json")
    files = _weight_files(folder, STEMS["text_encoder"], dtype)
    for path in files:
        check_whole(path)
    variant = "fp16" if ".fp16" in files[0].name else None
    with refusing(folder, ONE_NETWORK), _quiet_transformers():
        model, report = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, variant=variant, output_loading_info=True, **options
        )
        if missing := sorted(report["missing_keys"]):
            raise ValueError(f"{len(missing)} of its weights are missing, such as {missing[0]}")
        if spare := sorted(name for name in report["unexpected_keys"] if _is_of(model, name)):
            raise ValueError(f"config.json describes no place for {len(spare)} of its weights, such as {spare[0]}")
    return model


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    from transformers.utils import logging

    verbosity, shows_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shows_bars:
            logging.enable_progress_bar()


def _is_of(model: Any, name: str) -> bool:
    """Whether a weight belongs to a part that the model has: not to a head, a pooler or CLIP's other half.

    Files saved before 2023 also hold the numbers of the positions, which are no weights.
    """
    parts = [own.split(".")[0] for own in (name, name.removeprefix(f"{model.base_model_prefix}."))]
    return any(part in dict(model.named_children()) for part in parts) and not name.endswith("position_ids")


def _weight_files(folder: Path, stem: str, dtype: torch.dtype) -> list[Path]:
    try:
        names = weight_files([path.name for path in folder.iterdir()], stem, half=dtype != torch.float32)
    except Missing as missing:
        raise ModelUnavailable(f"{folder} does not hold the weights: {missing}") from None
    return [folder / name for name in names]


def _modern(key: str) -> str:
    """The present name of a weight; autoencoders saved before 2023 call their attention projections otherwise."""
    for old, new in ((".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."), (".proj_attn.", ".to_out.0.")):
        key = key.replace(old, new)
    return key
