"""Weight files read into named tensors, such that nothing in them can run."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from ...errors import ModelUnavailable

if TYPE_CHECKING:
    from torch import Tensor

    State = dict[str, Tensor]

PICKLES = (".ckpt", ".pt", ".pth", ".bin")


def read_config(path: Path) -> dict[str, Any]:
    """The named values of a JSON file.

    Raises:
        ModelUnavailable: if there is no such file, or it is damaged.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelUnavailable(f"{path} was not read: {error.strerror}") from None
    except ValueError as error:
        raise ModelUnavailable(f"{path} was not read: it is damaged ({error}); fetch it again") from None
    if not isinstance(config, dict):
        raise ModelUnavailable(f"{path} was not read: it holds a {type(config).__name__}, no named values")
    return config


def read_state(path: Path, wanted: Callable[[str], bool] = lambda name: True) -> State:
    """The tensors of a ``.safetensors`` file or of a pickle, by name.

    Args:
        path: of the file; of a pickle with a ``state_dict`` in it that is meant, and what is no tensor is left out.
        wanted: tells by its name whether a tensor is to be read.

    Raises:
        ModelUnavailable: if there is no such file, it is damaged, holds no named tensors, or would run code.
    """
    from safetensors import safe_open

    if path.suffix in PICKLES:
        return {name: tensor for name, tensor in _unpickle(path).items() if wanted(name)}
    check_whole(path)
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys() if wanted(name)}  # noqa: SIM118


def read_shapes(path: Path) -> State:
    """The same without values, on torch's meta device.

    Raises:
        ModelUnavailable: as ``read_state`` does.
    """
    import torch
    from safetensors import safe_open

    if path.suffix in PICKLES:
        return {name: tensor.to("meta") for name, tensor in _unpickle(path).items()}
    check_whole(path)
    with safe_open(path, "pt") as file:
        return {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in file.keys()}  # noqa: SIM118


def read_names(path: Path) -> set[str] | None:
    """The names of a file's tensors; None for an old pickle, which would have to be read whole.

    Raises:
        ModelUnavailable: as ``read_state`` does.
    """
    if path.suffix in PICKLES and not zipfile.is_zipfile(path):
        return None
    return set(read_shapes(path))


def is_whole(path: Path) -> bool:
    """Whether a file is as long as its own header or directory says; True where the kind of file does not tell."""
    if path.suffix == ".safetensors":
        try:
            check_whole(path)
        except ModelUnavailable:
            return False
    if path.suffix in PICKLES:
        with path.open("rb") as file:
            is_old = file.read(1) == b"\x80"  # a bare pickle, as torch wrote before 1.6
        return is_old or zipfile.is_zipfile(path)
    return True


def check_whole(path: Path) -> None:
    """Refuse a ``.safetensors`` file that is not as long as its header says; nothing else of it is read.

    Raises:
        ModelUnavailable: if it is missing, damaged, or another kind of file.
    """
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors" and path.exists():
        raise ModelUnavailable(f"{path} is no file of weights; give a .safetensors or .ckpt file")
    try:
        with safe_open(path, "np"):
            pass
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None


def _unpickle(path: Path) -> State:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (OSError, pickle.UnpicklingError, EOFError, RuntimeError, ValueError, LookupError, TypeError) as error:
        raise _unreadable(path, error) from None
    if isinstance(state, dict):
        state = state.get("state_dict", state)
    if not isinstance(state, dict):
        raise ModelUnavailable(f"{path} was not read: it holds a {type(state).__name__}, not named tensors")
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        keys = shorten(", ".join(map(str, state)), 100, placeholder=" ...") or "nothing"
        raise ModelUnavailable(f"{path} was not read: it holds {keys}, no named tensors")
    return tensors


def _unreadable(path: Path, error: Exception) -> ModelUnavailable:
    if isinstance(error, (PermissionError, IsADirectoryError)):
        return ModelUnavailable(f"{path} was not read: {error.strerror}")
    if not path.exists():
        return ModelUnavailable(f"{path} was not read: No such file or directory")
    if code := re.search(r"GLOBAL (\S+)", str(error)):
        return ModelUnavailable(f"{path} was not read: it would run {code[1]}; use the .safetensors file of this model")
    return ModelUnavailable(f"{path} was not read: it is damaged, cut off, or no checkpoint; fetch it again")
