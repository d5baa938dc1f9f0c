"""The rules: explicit argument, environment variable, project cache, the hub's cache, then mirrors in order.

Two answers of a place are told apart. ``Missing``: it lacks what is wanted, and the next place is tried.
``ModelUnavailable``: the user named it and it will not do, which ends the search.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ...errors import ModelUnavailable
from . import checkpoint, sources
from .digests import Held, check
from .families import SD_VERSIONS, check_family, check_marks, family_of
from .found import Attempt, Search, Weights
from .layout import PARTS, SECOND, Missing, Part, names_in, pick
from .places import BUNDLED, HUB_ID, NETWORKS, ROOT_VARIABLE, XL, Family, Network, Place


@dataclass(frozen=True)
class _Wish:
    """What is looked for: the network, the parts of it that are wanted, and how."""

    network: Network
    parts: frozenset[Part]
    half: bool
    fetch: bool

    @property
    def is_whole(self) -> bool:
        """Whether a network is wanted, and not just parts to lend to another."""
        return self.parts == PARTS

    def pick(self, place: Place, exact: bool) -> sources.Pick:
        layout = self.network.layout
        return lambda names: pick(names, layout, place, self.parts, self.half, exact)


_Step = tuple[str, Callable[[], Weights]]


def network_of(name: str) -> Network | None:
    """The network that a name or a hub id means, or None."""
    if name in NETWORKS:
        return NETWORKS[name]
    return Network(name, None, (Place.parse(name),)) if HUB_ID.fullmatch(name) else None


def resolve(network: Network, given: str | Path | None = None, *, half: bool = False) -> Weights:
    """Find a network's weights, fetching them if need be, and check their digests.

    Args:
        network: which one.
        given: the user's own choice, before all else: a folder, a file, or a hub id.
        half: prefer 16-bit weights.

    Raises:
        ModelUnavailable: if they cannot be had, are another network's, or a file is not what it must be.
    """
    found = search(network, given, half=half, fetch=True).require()
    check(found.all_files)
    return found


def search(
    network: Network,
    given: str | Path | None = None,
    *,
    parts: frozenset[Part] = PARTS,
    half: bool = False,
    fetch: bool = False,
    here: bool = True,
) -> Search:
    """Try every place in order until one has all that is wanted, or one that the user named will not do.

    No digest is computed.

    Args:
        network: what to look for.
        given: the only place to try, if any: a folder, a file, or a hub id.
        parts: of a Stable Diffusion network.
        half: prefer 16-bit weights.
        fetch: try the mirrors after this machine.
        here: try this machine.

    Raises:
        InvalidInput: for a variable of the hub's client that it cannot read.
    """
    sources.check_variables()
    wish = _Wish(network, parts, half, fetch)
    tried: list[Attempt] = []
    for place, step in _steps(wish, given, here):
        try:
            found = step()
            check_family(network.name, network.family, found.family, f"{found.path} ({found.origin})")
        except Missing as missing:
            tried.append(Attempt(place, str(missing)))
        except ModelUnavailable as problem:
            return Search(network, None, (*tried, Attempt(place, str(problem))), problem)
        else:
            return Search(network, found, (*tried, Attempt(place, f"found {found.path}")))
    return Search(network, None, tuple(tried))


def look(network: Network, half: bool = False) -> Search:
    """Search this machine; where it has no 32-bit files, for 16-bit ones."""
    result = search(network, half=half)
    if half or result.found or result.problem:
        return result
    other = search(network, half=True)
    return replace(other, only_half=True) if other.found else result


def _steps(wish: _Wish, given: str | Path | None, here: bool) -> Iterator[_Step]:
    if given is not None:
        yield str(given), partial(_named, wish, str(given), "given")
        return
    network = wish.network
    if here and network.variable:
        yield f"variable {network.variable}", partial(_variable, wish, network.variable)
        yield f"folder {ROOT_VARIABLE}", partial(_root, wish)
        yield f"project cache {sources.downloads()}", partial(_among, wish, sources.downloads(), "project cache")
        if (BUNDLED / network.name).is_dir():
            yield "bundled", lambda: _at(wish, BUNDLED / network.name, "bundled with the package")
    repositories = [place for place in network.places if not place.is_address]
    for place in repositories if here else ():
        yield f"hub cache, {place}", partial(_cached, wish, place)
    for place in network.places if wish.fetch else ():
        yield str(place) if place.is_address else f"hub, {place}", partial(_fetched, wish, place)


def _variable(wish: _Wish, variable: str) -> Weights:
    value = os.environ.get(variable)
    if not value:
        raise Missing("not set")
    return _named(wish, value, f"variable {variable}")


def _root(wish: _Wish) -> Weights:
    value = os.environ.get(ROOT_VARIABLE)
    if not value:
        raise Missing("not set")
    root = expand(value)
    if not root.is_dir():
        raise ModelUnavailable(f"{value} (variable {ROOT_VARIABLE}) is no folder; name one that exists, or unset it")
    return _among(wish, root, ROOT_VARIABLE)


def _among(wish: _Wish, root: Path, origin: str) -> Weights:
    """Look in a folder of many networks: NAME/, NAME.safetensors, or the file under the name it is published by."""
    name = wish.network.name
    if (root / name).is_dir():
        return _at(wish, root / name, origin)
    files: dict[str, Place | None] = {f.name: place for place in wish.network.places for f in place.files}
    if wish.network.layout != "transformers":
        files[f"{name}.safetensors"] = None
    for file, place in files.items():
        if (root / file).is_file():
            return _at(wish, root / file, origin, place)
    raise Missing(f"no {' and no '.join([f'{name}/', *files])}")


def _named(wish: _Wish, value: str, origin: str) -> Weights:
    """What the user named: a folder, a file, or a hub id, which must be had."""
    path = expand(value)
    if value and path.exists():
        return _at(wish, path, origin)
    if HUB_ID.fullmatch(value):
        files = next((place.files for place in wish.network.places if place.files), ())
        own = replace(wish.network, name=value, variable=None, places=(replace(Place.parse(value), files=files),))
        own = replace(own, family=None)  # it is compared with what was wanted, under the name that was wanted
        return search(own, parts=wish.parts, half=wish.half, fetch=wish.fetch).require()
    raise ModelUnavailable(
        f"{value or 'an empty name'} ({origin}) is no folder, no file and no hub id (owner/name@revision)"
    )


def _at(wish: _Wish, path: Path, origin: str, place: Place | None = None) -> Weights:
    """What lies at a path: it must do for a whole network, and is passed over where it lacks parts to lend.

    Raises:
        Missing: if it lacks parts that are wanted for another network.
        ModelUnavailable: if it lacks something of its own, or is no model.
    """
    try:
        if path.is_dir():
            return _folder(wish, path, origin)
        held = Held.of(path.parent, path.name, place) if place else Held(path)
        return replace(_file(wish, held, origin), place=place)
    except Missing as missing:
        if not wish.is_whole:
            raise
        folders = "vae/, scheduler/, text_encoder/, tokenizer/"
        folders += ", text_encoder_2/, tokenizer_2/" if "_2/" in str(missing) else ""
        raise ModelUnavailable(
            f"{path} ({origin}) is not a model folder: {missing}; it must hold unet/config.json, "
            f"unet/diffusion_pytorch_model.safetensors, and {folders} likewise"
            if wish.network.layout in ("diffusers", "unet")
            else f"{path} ({origin}) does not hold {wish.network.name}: {missing}"
        ) from None


def _folder(wish: _Wish, folder: Path, origin: str) -> Weights:
    layout = "diffusers" if wish.network.layout == "unet" else wish.network.layout
    place = Place(str(folder), files=next((place.files for place in wish.network.places if place.files), ()))
    family = family_of(folder)
    parts = wish.parts | SECOND if wish.is_whole and family == XL else wish.parts
    names = pick(names_in(folder), layout, place, parts, wish.half)
    if layout == "file" and names[0] != "config.json":
        return Weights(folder / names[0], origin, (Held(folder / names[0]),))
    return Weights(folder, origin, tuple(Held(folder / name) for name in names), PARTS, family=family)


def _file(wish: _Wish, file: Held, origin: str) -> Weights:
    network = wish.network
    if network.layout == "transformers":
        raise ModelUnavailable(
            f"{file.path} ({origin}) is a file; give the folder that holds config.json and model.safetensors"
        )
    if network.layout == "file":
        check_marks(network, file.path, origin)
        return Weights(file.path, origin, (file,))
    content = checkpoint.inspect(file.path)
    family = SD_VERSIONS[content.version]
    check_family(network.name, network.family, family, f"{file.path} ({origin})")
    if not content.holds & wish.parts:
        raise Missing(f"{file.path} holds no {' or '.join(sorted(wish.parts))}")
    lacking = wish.parts - content.holds
    base = _complete(wish, file.path, family, lacking) if lacking else None
    return Weights(file.path, origin, (file,), content.holds, base, family)


def _complete(wish: _Wish, path: Path, family: Family, lacking: frozenset[Part]) -> Weights:
    """Find the parts that a single file lacks: a tokenizer beside it, or what its base network has.

    All networks of a family share a tokenizer: the nearest one will do, before any is fetched.
    """
    if lacking == {"tokenizer"} and (path.parent / "tokenizer").is_dir():
        folder = path.parent
        files = tuple(Held(folder / "tokenizer" / name) for name in names_in(folder / "tokenizer"))
        return Weights(folder, "beside the file", files, lacking)
    relatives = [n.name for n in NETWORKS.values() if n.family == family and n.layout == "diffusers"]
    own = wish.network.base or (wish.network.name if wish.network.name in NETWORKS else relatives[0])
    bases = dict.fromkeys((own, *relatives)) if lacking == {"tokenizer"} else (own,)
    for fetch in (False, True) if wish.fetch else (False,):
        for name in bases:
            result = search(NETWORKS[name], parts=lacking, half=wish.half, fetch=fetch)
            if result.found is not None:
                return result.found
    advice = " (or put a folder tokenizer/ with vocab.json and merges.txt beside it)" if len(lacking) == 1 else ""
    why = result.problem or result.error()
    raise ModelUnavailable(
        f"{path} holds no {', '.join(sorted(lacking))}; {own} lends what is lacking{advice}, but {why}"
    )


def _cached(wish: _Wish, place: Place) -> Weights:
    return _of_place(wish, place, *sources.cached(place, wish.pick(place, exact=True)), f"hub cache, {place}")


def _fetched(wish: _Wish, place: Place) -> Weights:
    if place.removed and wish.network.name in NETWORKS:
        raise Missing(place.removed)
    if sources.is_offline():
        raise Missing("not asked: offline (HF_HUB_OFFLINE is set)")
    return _of_place(wish, place, *sources.fetch(place, wish.pick(place, exact=False)), f"fetched from {place}")


def _of_place(wish: _Wish, place: Place, folder: Path, files: Sequence[Held], origin: str) -> Weights:
    is_one_file = [file.path.name for file in files] == [file.name for file in place.files]
    if wish.network.layout in ("unet", "file") and is_one_file:
        return replace(_file(wish, files[0], origin), place=place)
    return Weights(folder, origin, tuple(files), PARTS, family=family_of(folder), place=place)


def expand(value: str | Path) -> Path:
    """A path with ~ replaced by the home folder, where there is one."""
    try:
        return Path(value).expanduser()
    except RuntimeError:  # of a user who does not exist
        return Path(value)
