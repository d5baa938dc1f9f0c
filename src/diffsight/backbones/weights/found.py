"""What a search for weights tells: where they lie, or every place that was tried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import ModelUnavailable
from .digests import Held
from .files import is_whole
from .layout import Part
from .places import XL, Family, Network, Place

FORMS = {
    "diffusers": "a folder holding unet/, vae/, scheduler/, text_encoder/ and tokenizer/, a single "
    ".safetensors checkpoint, or OWNER/NAME@REVISION",
    "unet": "a .safetensors file with the UNet, or a folder holding unet/, vae/, scheduler/, text_encoder/ and "
    "tokenizer/, or OWNER/NAME@REVISION",
    "transformers": "a folder holding config.json and model.safetensors, or OWNER/NAME@REVISION",
}
"""What a variable may name, by what is wanted."""

XL_FORM = "a folder holding unet/, vae/, scheduler/, text_encoder/, text_encoder_2/, tokenizer/ and tokenizer_2/, or "
XL_FORM += "OWNER/NAME@REVISION"


@dataclass(frozen=True)
class Weights:
    """Where a network's weights lie on this disk.

    Attributes:
        path: a folder, or one file.
        origin: why this one: the variable, cache or repository that led to it.
        files: all that is loaded from it.
        holds: the parts of a Stable Diffusion network that it has.
        base: where the other parts are.
        family: of the network, as its configuration or its weights say.
        place: that it was fetched from; None for what the user put there.
    """

    path: Path
    origin: str
    files: tuple[Held, ...]
    holds: frozenset[Part] = frozenset()
    base: Weights | None = None
    family: Family | None = None
    place: Place | None = None

    def having(self, part: Part) -> Path:
        """The folder or file that holds a part."""
        return self.path if part in self.holds or self.base is None else self.base.having(part)

    @property
    def all_files(self) -> tuple[Held, ...]:
        """With those of the base."""
        return self.files + (self.base.all_files if self.base else ())

    @property
    def damaged(self) -> Path | None:
        """The first file that is not as long as its header says; nothing else of any file is read."""
        return next((file.path for file in self.all_files if not is_whole(file.path)), None)

    @property
    def is_unpinned(self) -> bool:
        """Whether the place that it came from may hold other content tomorrow."""
        return self.place is not None and not self.place.is_pinned


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
        tried: in order; the last one is the place found, or the one that ended the search.
        problem: why the search ended at a place that the user named and that will not do.
        only_half: whether what was found does for runs in half precision only.
    """

    network: Network
    found: Weights | None
    tried: tuple[Attempt, ...]
    problem: ModelUnavailable | None = None
    only_half: bool = False

    @property
    def is_here(self) -> bool:
        """Whether something was found, as long as its headers say; nothing else of it is read."""
        return self.found is not None and self.found.damaged is None

    def error(self) -> ModelUnavailable:
        """Everything that was tried and the ways out, in one line."""
        name, variable = self.network.name, self.network.variable
        tried = "; ".join(f"{attempt.place}: {attempt.outcome}" for attempt in self.tried)
        form = self._form()
        setting = f"set {variable} to {form}" if variable else f"give another model: {form}"
        return ModelUnavailable(
            f"the weights of {name!r} cannot be had. Tried: {tried}. Ways out: {setting}; connect to the network and "
            f"run: diffsight weights fetch {name}; or use {self.network.instead}"
        )

    def _form(self) -> str:
        """What the user may give."""
        if self.network.layout == "file":
            return f"the file {self.network.places[0].files[0].name}, or the same weights as .safetensors"
        return XL_FORM if self.network.family == XL else FORMS[self.network.layout]

    def require(self) -> Weights:
        """What was found.

        Raises:
            ModelUnavailable: if nothing was.
        """
        if self.found is None:
            raise self.problem or self.error()
        return self.found
