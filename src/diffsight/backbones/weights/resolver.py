"""The rules: explicit argument, environment variable, project cache, the hub's cache, then mirrors in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...errors import ModelUnavailable
from . import checkpoint, sources
from .digests import Held, check
from .layout import PARTS, Missing, Part, names_in, pick
from .places import BUNDLED, HUB_ID, NETWORKS, ROOT_VARIABLE, Network, Place

FAMILIES = {1: ("sd-1.5", "sd-1.4"), 2: ("sd-2.1", "sd-2.1-base")}
"""Networks that share a tokenizer, by the major version of Stable Diffusion."""


@dataclass(frozen=True)
class Weights:
    """Where a network's weights lie on this disk.

    Attributes:
        path: a folder, or one file.
        origin: why this one: the variable, cache or repository that led to it.
        files: all that is loaded from it.
        holds: the parts of a Stable Diffusion network that it has.
        base: where the other parts are.
    """

    path: Path
    origin: str
    files: tuple[Held, ...]
    holds: frozenset[Part] = frozenset()
    base: Weights | None = None

    def having(self, part: Part) -> Path:
        """The folder or file that holds a part."""
        return self.path if part in self.holds or self.base is None else self.base.having(part)

    @property
    def all_files(self) -> tuple[Held, ...]:
        """With those of the base."""
        return self.files + (self.base.all_files if self.base else ())


@dataclass(frozen=True)
class Attempt:
    """One place that was tried, and what came of it."""

    place: str
    outcome: str


@dataclass(frozen=True)
class Search:
    """What was found, and every place tried until then.

    Attributes:
        network: what was looked for.
        found: the first place that has it, or None.
        tried: in order; the last one is the place found.
    """

    network: Network
    found: Weights | None
    tried: tuple[Attempt, ...]

    def error(self) -> ModelUnavailable:
        """Everything that was tried and the ways out, in one line."""
        name, variable = self.network.name, self.network.variable
        tried = "; ".join(f"{attempt.place}: {attempt.outcome}" for attempt in self.tried)
        forms = {
            "diffusers": "a folder holding unet/, vae/, scheduler/, text_encoder/ and tokenizer/, a single "
            ".safetensors checkpoint, or OWNER/NAME@REVISION",
            "unet": "a .safetensors file with the UNet, or a folder holding unet/, vae/, scheduler/, text_encoder/ and "
            "tokenizer/",
            "transformers": "a folder holding config.json and model.safetensors, or OWNER/NAME@REVISION",
            "file": "the file",
        }
        form = forms[self.network.layout]
        setting = f"set {variable} to {form}" if variable else f"give another model: {form}"
        return ModelUnavailable(
            f"the weights of {name!r} cannot be had. Tried: {tried}. Ways out: {setting}; connect to the network and "
            f"run: diffsight weights fetch {name}; or use the bundled model (--model pocket)"
        )

    def require(self) -> Weights:
        """What was found.

        Raises:
            ModelUnavailable: if nothing was.
        """
        if self.found is None:
            raise self.error()
        return self.found


@dataclass(frozen=True)
class _Wish:
    """What is looked for: the network, the parts of it that are wanted, and how."""

    network: Network
    parts: frozenset[Part]
    half: bool
    fetch: bool

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
        ModelUnavailable: if they cannot be had, or a file is not what it must be.
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
    """Try every place in order until one has all that is wanted; no digest is computed.

    Args:
        network: what to look for.
        given: the only place to try, if any: a folder, a file, or a hub id.
        parts: of a Stable Diffusion network.
        half: prefer 16-bit weights.
        fetch: try the mirrors after this machine.
        here: try this machine.

    Raises:
        ModelUnavailable: if the user named a place that will not do.
    """
    wish = _Wish(network, parts, half, fetch)
    tried: list[Attempt] = []
    for place, step in _steps(wish, given, here):
        try:
            found = step()
        except Missing as missing:
            tried.append(Attempt(place, str(missing)))
        else:
            return Search(network, found, (*tried, Attempt(place, f"found {found.path}")))
    return Search(network, None, tuple(tried))


def _steps(wish: _Wish, given: str | Path | None, here: bool) -> Iterator[_Step]:
    if given is not None:
        yield str(given), partial(_named, wish, str(given), "given")
        return
    network = wish.network
    if here and network.variable:
        yield f"variable {network.variable}", partial(_variable, wish, network.variable)
        yield f"folder {ROOT_VARIABLE}", partial(_root, wish, os.environ.get(ROOT_VARIABLE), ROOT_VARIABLE)
        yield f"project cache {sources.downloads()}", partial(_root, wish, sources.downloads(), "project cache")
        if (BUNDLED / network.name).is_dir():
            yield "bundled", lambda: _folder(wish, BUNDLED / network.name, "bundled with the package")
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


def _root(wish: _Wish, root: str | Path | None, origin: str) -> Weights:
    """Look in a folder of many networks: NAME/, NAME.safetensors, or the file under the name it is published by."""
    if not root:
        raise Missing("not set")
    root = Path(root).expanduser()
    name = wish.network.name
    if (root / name).is_dir():
        return _folder(wish, root / name, origin)
    for place in wish.network.places:
        for file in place.files:
            if (root / file.name).is_file():
                return _file(wish, Held.of(root, file.name, place), origin)
    if (root / f"{name}.safetensors").is_file():
        return _file(wish, Held(root / f"{name}.safetensors"), origin)
    raise Missing(f"no {name}/ and no {name}.safetensors")


def _named(wish: _Wish, value: str, origin: str) -> Weights:
    """What the user named: it must do, or be passed over for lack of the parts that are wanted."""
    path = Path(value).expanduser()
    if path.is_dir():
        return _folder(wish, path, origin)
    if path.is_file():
        return _file(wish, Held(path), origin)
    if HUB_ID.fullmatch(value):
        own = Network(value, None, (Place.parse(value),), wish.network.layout, wish.network.base)
        return search(own, parts=wish.parts, half=wish.half, fetch=wish.fetch).require()
    raise ModelUnavailable(f"{value} ({origin}) is no folder, no file and no hub id (owner/name@revision)")


def _folder(wish: _Wish, folder: Path, origin: str) -> Weights:
    layout = "diffusers" if wish.network.layout == "unet" else wish.network.layout
    place = Place(str(folder), files=next((place.files for place in wish.network.places if place.files), ()))
    try:
        names = pick(names_in(folder), layout, place, wish.parts, wish.half)
    except Missing as missing:
        raise ModelUnavailable(
            f"{folder} ({origin}) is not a model folder: {missing}; it must hold unet/config.json, "
            "unet/diffusion_pytorch_model.safetensors, and vae/, scheduler/, text_encoder/, tokenizer/ likewise"
            if layout == "diffusers"
            else f"{folder} ({origin}) does not hold {wish.network.name}: {missing}"
        ) from None
    if layout == "file" and names[0] != "config.json":
        return Weights(folder / names[0], origin, (Held(folder / names[0]),))
    return Weights(folder, origin, tuple(Held(folder / name) for name in names), PARTS)


def _file(wish: _Wish, file: Held, origin: str) -> Weights:
    if wish.network.layout in ("file", "transformers"):
        return Weights(file.path, origin, (file,))
    content = checkpoint.inspect(file.path)
    known = wish.network.base or wish.network.name
    if any(known in family and version != content.version for version, family in FAMILIES.items()):
        raise ModelUnavailable(f"{file.path} ({origin}) is of Stable Diffusion {content.version}.x, not {known}")
    if not content.holds & wish.parts:
        raise Missing(f"{file.path} holds no {' or '.join(sorted(wish.parts))}")
    lacking = wish.parts - content.holds
    base = _complete(wish, file.path, content.version, lacking) if lacking else None
    return Weights(file.path, origin, (file,), content.holds, base)


def _complete(wish: _Wish, path: Path, version: int, lacking: frozenset[Part]) -> Weights:
    """Find the parts that a single file lacks: a tokenizer beside it, or what its base network has."""
    if lacking == {"tokenizer"} and (path.parent / "tokenizer").is_dir():
        folder = path.parent
        files = tuple(Held(folder / "tokenizer" / name) for name in names_in(folder / "tokenizer"))
        return Weights(folder, "beside the file", files, lacking)
    own = wish.network.base or (wish.network.name if wish.network.name in NETWORKS else FAMILIES[version][0])
    bases = dict.fromkeys((own, *FAMILIES[version])) if lacking == {"tokenizer"} else (own,)
    for fetch in (False, True) if wish.fetch else (False,):
        for name in bases:
            result = search(NETWORKS[name], parts=lacking, half=wish.half, fetch=fetch)
            if result.found is not None:
                return result.found
    advice = " (or put a folder tokenizer/ with vocab.json and merges.txt beside it)" if len(lacking) == 1 else ""
    raise ModelUnavailable(
        f"{path} holds no {', '.join(sorted(lacking))}; {own} lends what is lacking{advice}, but {result.error()}"
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
    if wish.network.layout == "unet":
        return _file(wish, files[0], origin)
    if wish.network.layout == "file":
        return Weights(files[0].path, origin, tuple(files))
    return Weights(folder, origin, tuple(files), PARTS)
