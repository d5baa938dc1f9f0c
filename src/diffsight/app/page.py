"""The page: components of Gradio, and which function each button calls."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import DiffsightError
from ..files import save_bytes
from . import match
from .limits import KEPT, MAX_WAITING
from .match import Desk, Session

HEADERS = ["point", "sure", "both ways", "left x", "left y", "right x", "right y"]

CSS = "footer {display: none !important} .photo img {cursor: crosshair}"


def theme() -> gr.themes.Base:
    """Fonts of the visitor's own machine, so that the page fetches none."""
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def build(desk: Desk, folder: Path) -> gr.Blocks:
    """Lay the page out.

    Args:
        desk: the model.
        folder: for the tables that visitors download.
    """
    with gr.Blocks(title="diffsight", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown("# diffsight")
        with gr.Tab("Match"):
            _match_tab(desk, folder)
    return page.queue(max_size=MAX_WAITING)


def _match_tab(desk: Desk, folder: Path) -> None:
    gr.Markdown(
        "Two photos of things of one kind: click a spot in the left one, and its like is marked in the right one, "
        "with how sure that is."
    )
    session = gr.State(Session(), time_to_live=KEPT)
    with gr.Row():
        example = gr.Button("Try the example", variant="primary", elem_id="example", min_width=120)
        undo = gr.Button("Undo", elem_id="undo", min_width=80)
        clear = gr.Button("Clear", elem_id="clear", min_width=80)
        download = gr.DownloadButton("Download CSV", elem_id="download", interactive=False, min_width=120)
    status = gr.Markdown(match.status(Session()), elem_id="status")
    with gr.Row():
        left_upload, left = _photo("left", "Choose the left photo")
        right_upload, right = _photo("right", "Choose the right photo")
    found = gr.Dataframe(headers=HEADERS, interactive=False, elem_id="found", label="Points, in pixels of the photos")
    outputs = [session, left, right, status, found, download]

    def show(after: Session) -> list[Any]:
        return [after, *match.draw(after), match.status(after), _table(after), _file(after, folder)]

    def attempt(before: Session, action: Callable[..., Session], *arguments: Any) -> list[Any]:
        try:
            return show(action(before, *arguments))
        except DiffsightError as error:
            gr.Warning(escape(str(error)))  # it is shown as HTML, and may hold a name that a visitor chose
            return [gr.skip() for _ in outputs]

    def clicked(before: Session, event: gr.SelectData) -> list[Any]:
        return attempt(before, desk.click, tuple(event.index))

    def listen(trigger: Callable[..., Any], function: Callable[..., Any], *inputs: Any, quick: bool = True) -> None:
        trigger(
            function,
            [session, *inputs],
            outputs,
            concurrency_id="desk",
            concurrency_limit=1,
            trigger_mode="multiple",
            show_progress="hidden" if quick else "minimal",
            api_visibility="private",
        )

    listen(left_upload.upload, lambda s, path: attempt(s, desk.choose_left, path), left_upload, quick=False)
    listen(right_upload.upload, lambda s, path: attempt(s, desk.choose_right, path), right_upload, quick=False)
    listen(example.click, lambda s: attempt(s, desk.example), quick=False)
    listen(left.select, clicked)
    listen(undo.click, lambda s: attempt(s, match.undo))
    listen(clear.click, lambda s: attempt(s, match.clear))


def _photo(side: str, label: str) -> tuple[gr.UploadButton, gr.Image]:
    with gr.Column(min_width=280):
        upload = gr.UploadButton(label, file_types=["image"], elem_id=f"upload-{side}")
        image = gr.Image(
            show_label=False,
            type="pil",
            format="jpeg",
            interactive=False,
            buttons=[],
            elem_id=side,
            elem_classes=["photo"] if side == "left" else [],
            alt_text=f"{side} photo with its points",
        )
    return upload, image


def _table(session: Session) -> list[list[Any]]:
    return [
        [row.point, row.sure, "yes" if row.both_ways else "no", row.left_x, row.left_y, row.right_x, row.right_y]
        for row in match.rows(session)
    ]


def _file(session: Session, folder: Path) -> gr.DownloadButton:
    if not session.found:
        return gr.DownloadButton(value=None, interactive=False)
    path = folder / secrets.token_hex(8) / "matches.csv"
    save_bytes(match.table(session).encode(), path)
    return gr.DownloadButton(value=str(path), interactive=True)
