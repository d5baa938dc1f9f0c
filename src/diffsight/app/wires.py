"""What the tabs have in common: photos, downloads, and buttons that turn one state into the next."""

from __future__ import annotations

import io
import secrets
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Generic, TypeVar

import gradio as gr
from PIL import Image

from ..errors import DiffsightError
from ..files import save_bytes

State = TypeVar("State")
Trigger = Callable[..., Any]


@dataclass(frozen=True)
class Wires(Generic[State]):
    """How the buttons of one tab work: each makes a new state of the one before, which is then shown.

    Attributes:
        state: holds a visitor's state.
        outputs: the components that show it.
        show: their new values, in the same order.
        queue: buttons of one queue wait for each other, across visitors.
    """

    state: gr.State
    outputs: list[Any]
    show: Callable[[State], list[Any]]
    queue: str = "quick"

    def connect(
        self,
        trigger: Callable[..., Any],
        action: Callable[..., State],
        *inputs: Any,
        wait: bool = False,
        latest: bool = False,
    ) -> None:
        """Call ``action(state, *inputs)`` on an event.

        Args:
            trigger: an event of a component, such as ``button.click``.
            action: makes the next state.
            inputs: components whose values it takes besides.
            wait: whether it takes so long that the page should say so.
            latest: of events that come while one is worked on, only the last is taken.
        """

        def run(before: State, *values: Any) -> list[Any]:
            return self._attempt(lambda: action(before, *values))

        self._listen(trigger, run, inputs, wait, latest)

    def connect_event(
        self, trigger: Callable[..., Any], action: Callable[[State, gr.EventData], State], *, latest: bool = False
    ) -> None:
        """Call ``action(state, event)`` on an event that a custom part sends."""

        def run(before: State, event: gr.EventData) -> list[Any]:
            return self._attempt(lambda: action(before, event))

        self._listen(trigger, run, (), False, latest)

    def connect_place(self, image: gr.Image, action: Callable[[State, tuple[float, float]], State]) -> None:
        """Call ``action(state, (x, y))`` on a click in a photo, in pixels of the photo as it is shown."""

        def run(before: State, event: gr.SelectData) -> list[Any]:
            return self._attempt(lambda: action(before, tuple(event.index)))

        self._listen(image.select, run, (), False)

    def _attempt(self, action: Callable[[], State]) -> list[Any]:
        try:
            after = action()
            return [after, *self.show(after)]
        except DiffsightError as error:
            warn(error)
            return [gr.skip() for _ in (self.state, *self.outputs)]

    def _listen(
        self,
        trigger: Callable[..., Any],
        run: Callable[..., Any],
        inputs: tuple[Any, ...],
        wait: bool,
        latest: bool = False,
    ) -> None:
        trigger(
            run,
            [self.state, *inputs],
            [self.state, *self.outputs],
            concurrency_id=self.queue,
            concurrency_limit=1,
            trigger_mode="always_last" if latest else "multiple",
            show_progress="minimal" if wait else "hidden",
            api_visibility="private",
        )


def warn(error: DiffsightError) -> None:
    """Show what is wrong; it is shown as HTML, and may hold a name that a visitor chose."""
    gr.Warning(escape(str(error)))


def photo(name: str, label: str, alt: str, *, clicked: bool = False) -> tuple[gr.UploadButton, gr.Image]:
    """A photo with the button that sends it.

    Args:
        name: of the elements: ``name`` the photo, ``upload-name`` the button.
        label: on the button.
        alt: what the photo shows, for those who hear the page.
        clicked: whether one clicks into it.
    """
    upload = gr.UploadButton(label, file_types=["image"], elem_id=f"upload-{name}")
    image = gr.Image(
        show_label=False,
        type="pil",
        format="jpeg",
        interactive=False,
        buttons=[],
        elem_id=name,
        elem_classes=["clicked"] if clicked else [],
        alt_text=alt,
    )
    return upload, image


def data_url(image: Image.Image) -> str:
    """A picture as an address that holds it, for parts that draw on it."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{b64encode(content.getvalue()).decode()}"


def offer(content: bytes | None, folder: Path, name: str) -> gr.DownloadButton:
    """A download button for a file of that content; asleep if there is none yet.

    Args:
        content: of the file.
        folder: gets a folder of a name that nobody can guess, with the file in it.
        name: of the file.
    """
    if content is None:
        return gr.DownloadButton(value=None, interactive=False)
    path = folder / secrets.token_hex(8) / name
    save_bytes(content, path)
    return gr.DownloadButton(value=str(path), interactive=True)
