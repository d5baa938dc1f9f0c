"""From what a user calls a model to a folder with its weights."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import shorten

from ..errors import ModelUnavailable

BUNDLED = Path(__file__).parent.parent / "models"
"""Models that ship inside the package."""

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
"""``owner/name`` or ``owner/name@revision``."""

NEEDED = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/*",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)

REMOVED = {
    "runwayml/stable-diffusion-v1-5": "removed from the hub in August 2024",
    "stabilityai/stable-diffusion-2-1": "removed from the hub in November 2025",
    "stabilityai/stable-diffusion-2-1-base": "removed from the hub in November 2025",
}


def from_hub(repository: str, name: str) -> Path:
    """The local copy of a hub repository, fetched if it is not cached; only the parts that are loaded.

    Args:
        repository: ``owner/name`` or ``owner/name@revision``.
        name: what the user asked for, for the error.

    Raises:
        ModelUnavailable: one message with what was tried and the ways out.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repo_id, _, revision = repository.partition("@")
    try:
        return Path(snapshot_download(repo_id, revision=revision or None, allow_patterns=list(NEEDED)))
    except (OSError, ValueError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        reason = shorten(str(error), 160, placeholder=" ...")
        removed = f" (known: {REMOVED[repo_id]})" if repo_id in REMOVED else ""
        raise ModelUnavailable(
            f"the weights of {name!r} are not here. Tried: a folder of that name, the hub's local cache and the "
            f"repository {repository}{removed}: "
            f"{type(error).__name__}: {reason}. Ways out: give a folder with such weights (--model FOLDER, holding "
            "unet/, vae/, scheduler/, text_encoder/, tokenizer/); give another repository "
            "(--model OWNER/NAME@REVISION); connect to the network; or use the bundled model (--model pocket)."
        ) from None


def is_cached(repository: str) -> bool:
    """Whether all that is needed of a repository is in the hub's local cache; never touches the network."""
    from huggingface_hub import try_to_load_from_cache

    repo_id, _, revision = repository.partition("@")
    files = [name for name in NEEDED if not name.endswith("*") and name != "model_index.json"]
    return all(isinstance(try_to_load_from_cache(repo_id, name, revision=revision or None), str) for name in files)
