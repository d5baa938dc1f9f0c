"""The hub, its cache, and plain addresses. The hub's own library does the fetching."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from textwrap import shorten

from ...errors import InvalidInput, ModelUnavailable, OutputFailed
from ...files import atomic
from .digests import Held
from .files import is_whole
from .layout import Missing, names_in
from .places import File, Place, cache_folder
from .receipts import Receipt, receipt_path

Pick = Callable[[Sequence[str]], tuple[str, ...]]
"""Chooses the files to load among those that a place has; raises ``Missing``."""

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


def check_variables() -> None:
    """Refuse what the hub's client would fail to read while it is imported.

    Raises:
        InvalidInput: names the variable.
    """
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        try:
            int(os.environ.get(name, "10"))
        except ValueError:
            raise InvalidInput(
                f"the variable {name} is {os.environ[name]!r}; it must be a whole number of seconds: set or unset it"
            ) from None


def is_offline() -> bool:
    """Whether the user has forbidden the network (``HF_HUB_OFFLINE``)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def cached(place: Place, pick: Pick) -> tuple[Path, tuple[Held, ...]]:
    """A repository's folder and files in the hub's cache; never touches the network.

    Raises:
        Missing: if not all that is wanted is there.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(place.source, revision=place.revision, local_files_only=True, allow_patterns=[])
        folder = Path(found)
        names = pick(names_in(folder))
    except LocalEntryNotFoundError:
        raise Missing("not there") from None
    except OSError as error:
        raise Missing(f"cannot be read ({error.strerror or error})") from None
    return folder, tuple(Held.of(folder, name, place) for name in names)


def downloads() -> Path:
    """Where files from plain addresses are kept."""
    return cache_folder() / "weights"


def fetch(place: Place, pick: Pick) -> tuple[Path, tuple[Held, ...]]:
    """Fetch what is wanted of a place; files that are here and intact are kept, damaged ones replaced.

    Whole files outlast an interruption. Within one file the hub's client takes up a broken line where it broke, and
    forgets what it has when the process ends; a file from a plain address is taken up by the next process, too.

    Raises:
        Missing: if the place does not have it, does not answer, or answers with other content than promised.
        ModelUnavailable: if this machine cannot keep it: no room, or a folder that may not be written.
    """
    try:
        return _fetch_address(place) if place.is_address else _fetch_repository(place, pick)
    except (Missing, ModelUnavailable):
        raise
    except Exception as caught:  # the network's errors differ with the library that the hub's client is built on
        error = caught.__cause__ if isinstance(caught, OutputFailed) and caught.__cause__ else caught
        if isinstance(error, OSError) and error.errno in NO_ROOM | NOT_WRITABLE:
            raise _no_home(place, error) from None
        raise Missing(_reason(caught, place)) from None


def _fetch_repository(place: Place, pick: Pick) -> tuple[Path, tuple[Held, ...]]:
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi().model_info(place.source, revision=place.revision, timeout=10)
    commit = info.sha  # the branch may move on meanwhile
    names = pick([file.rfilename for file in info.siblings or ()])
    held = []
    for name in names:
        for force in (False, True):
            path = Path(hf_hub_download(place.source, name, revision=commit, force_download=force))
            file = Held.of(path.parents[name.count("/")], name, place)
            if file.is_intact():
                break
        else:
            wrong = Missing(f"{name} has wrong content: digest {file.actual()} instead of {file.digest}")
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise wrong
        held.append(file)
    _remember_commit(place, commit)
    return path.parents[name.count("/")], tuple(held)


def _remember_commit(place: Place, commit: str | None) -> None:
    """Note in the hub's cache which commit a branch or tag stands for, as the hub's own client does."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    revision = place.revision or constants.DEFAULT_REVISION
    if commit is not None and revision != commit:
        home = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=place.source, repo_type="model")
        with suppress(OutputFailed), atomic(home / "refs" / revision) as part:  # a cache of another user's still serves
            part.write_text(commit)


def _fetch_address(place: Place) -> tuple[Path, tuple[Held, ...]]:
    """Fetch one file under a lock, unless it is here and intact.

    What arrived before an interruption is kept beside it, and continued if the server still has the same file.
    """
    from huggingface_hub.utils import WeakFileLock

    (wanted,) = place.files
    folder = downloads()
    target = folder / wanted.name
    folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(folder / f"{wanted.name}.lock"):
        held = Held.of(folder, wanted.name, place)
        is_known = target.is_file() and held.digest is not None
        if not (is_known and held.is_intact()):
            offered = _offered(place)
            if is_known or not _is_like(target, offered):
                _download(place, wanted, offered, target)
    return folder, (Held.of(folder, wanted.name, place),)


def _offered(place: Place) -> Receipt:
    """What the server says of the file."""
    from huggingface_hub import get_hf_file_metadata

    facts = get_hf_file_metadata(place.source, timeout=10, token=False)
    return Receipt(facts.etag, facts.size)


def _is_like(path: Path, offered: Receipt) -> bool:
    """Whether a file of unknown digest seems to be what the server has."""
    return path.is_file() and offered.size in (None, path.stat().st_size) and is_whole(path)


def _download(place: Place, wanted: File, offered: Receipt, target: Path) -> None:
    from huggingface_hub.file_download import http_get

    part = target.with_name(f"{target.name}.part")
    is_same = Receipt.of(part).tells_same(offered) and (offered.size is None or _size(part) <= offered.size)
    offered.keep(part)
    with part.open("ab" if is_same else "wb") as out:
        http_get(place.source, out, resume_size=out.tell(), expected_size=offered.size)
    digest = Held(part).actual(remembered=False)
    receipt_path(part).unlink()
    if not digest.startswith(wanted.sha256 or ""):
        part.unlink()
        raise Missing(f"wrong content: sha256 {digest} instead of {wanted.sha256}")
    replace(offered, sha256=digest).keep(target)
    os.replace(part, target)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception, place: Place) -> str:
    """Why fetching failed, for the list of places tried."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, GatedRepoError):
        return f"gated: accept its licence at https://huggingface.co/{place.source}, then run hf auth login"
    if place.removed:
        return place.removed
    if isinstance(error, RepositoryNotFoundError):
        return "no such repository, or a private one that needs hf auth login (401 or 404)"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {place.revision}"
    if isinstance(error, HfHubHTTPError):
        hints = {
            401: " (run hf auth login)",
            403: " (refused: this token may not read it)",
            429: " (too many requests: wait a few minutes)",
        }
        status = error.response.status_code
        return f"it answered {status}{hints.get(status, '')}"
    text = shorten(" ".join(str(error).split()), 120, placeholder=" ...")
    return f"no answer, or one that was cut off ({type(error).__name__}: {text})"


def _no_home(place: Place, error: OSError) -> ModelUnavailable:
    from huggingface_hub import constants

    folder, variable = (downloads(), "XDG_CACHE_HOME") if place.is_address else (constants.HF_HUB_CACHE, "HF_HUB_CACHE")
    why = "no room is left" if error.errno in NO_ROOM else "it may not be written"
    return ModelUnavailable(
        f"{place} cannot be kept in {folder}: {why} ({error.strerror}); "
        f"free some space or set {variable} to another folder"
    )
