"""Parts of the page that the tabs share: lines of text, bars of progress, parts with a script, downloads."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from ...files import save_bytes
from ..shelf import new_folder, sweep
from ..wires import saying_what_fails

State = TypeVar("State")


def status_html(*lines: str) -> str:
    """Lines of plain text, which those who hear the page are told when they change."""
    return f'<div role="status">{"<br>".join(map(escape, lines))}</div>'


def progress_html(text: str, done: float, total: float = 1) -> str:
    """A bar of so much of a total, with what is being done."""
    style = "width: 100%; accent-color: var(--color-accent)"
    return (
        f'<label>{escape(text)} <progress style="{style}" value="{done:.6g}" max="{max(total, 1)}"></progress></label>'
    )


def scripted(name: str, value: Any = "", **settings: Any) -> gr.HTML:
    """A part of the page with a style and a script of its own, the files of that name beside this one.

    Args:
        name: of the files.
        value: what it shows first.
        **settings: of ``gradio.HTML``.
    """
    style, script = ((Path(__file__).parent / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return gr.HTML(value, css_template=style, js_on_load=script, apply_default_css=False, **settings)


def download_button(
    label: str, name: str, make: Callable[[State], bytes], session: gr.State, folder: Path, elem_id: str
) -> None:
    """A button that makes a file once it is asked for, and has the browser save it.

    Args:
        label: of the button.
        name: of the file.
        make: gives its content.
        session: what it is made of.
        folder: gets a folder of a name that nobody can guess, with the file in it; those that are old are deleted.
        elem_id: of the button.
    """
    button = gr.Button(label, elem_id=elem_id, min_width=120)
    file = gr.DownloadButton(elem_id=f"{elem_id}-file", elem_classes="unseen")

    def make_it(now: State) -> gr.DownloadButton:
        return offer(lambda: make(now), folder, name)

    made = button.click(make_it, session, file, concurrency_id="read", concurrency_limit=1, api_visibility="private")
    made.success(None, js=f"() => document.querySelector('#{elem_id}-file').click()", api_visibility="private")


def offer(make: Callable[[], bytes], folder: Path, name: str) -> gr.DownloadButton:
    """A download button for a file; without one, if it cannot be made, and it is said why.

    Args:
        make: gives the content of the file.
        folder: gets a folder of a name that nobody can guess, with the file in it; those that are old are deleted.
        name: of the file.
    """
    with saying_what_fails():
        content = make()
        sweep(folder)
        with new_folder(folder) as own:
            save_bytes(content, own / name)
        return gr.DownloadButton(value=str(own / name))
    return gr.DownloadButton(value=None)
