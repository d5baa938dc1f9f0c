"""The tab Match."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from .. import match
from ..limits import KEPT
from ..match import Desk, Session
from ..models import Models
from ..wires import Wires, offer, photo

HEADERS = ["point", "sure", "both ways", "left x", "left y", "right x", "right y"]


def lay_out(models: Models, folder: Path) -> None:
    """Two photos side by side, a table of points below.

    Args:
        models: to find points with.
        folder: for files that visitors download.
    """
    desk = Desk(models)
    gr.Markdown(
        "Two photos of things of one kind: click a spot in the left one, and its like is marked in the right one, "
        "with how sure that is."
    )
    session = gr.State(Session(), time_to_live=KEPT)
    with gr.Row():
        example = gr.Button("Try the example", variant="primary", elem_id="match-example", min_width=120)
        undo = gr.Button("Undo", elem_id="match-undo", min_width=80)
        clear = gr.Button("Clear", elem_id="match-clear", min_width=80)
        download = gr.DownloadButton("Download CSV", elem_id="match-csv", interactive=False, min_width=120)
    status = gr.Markdown(match.status(Session()), elem_id="match-status")
    with gr.Row():
        with gr.Column(min_width=280):
            left_upload, left = photo("left", "Choose the left photo", "left photo with its points", clicked=True)
        with gr.Column(min_width=280):
            right_upload, right = photo("right", "Choose the right photo", "right photo with its points")
    found = gr.Dataframe(headers=HEADERS, interactive=False, elem_id="found", label="Points, in pixels of the photos")

    def show(after: Session) -> list[Any]:
        content = match.table(after).encode() if after.found else None
        return [*match.draw(after), match.status(after), _table(after), offer(content, folder, "matches.csv")]

    wires = Wires(session, [left, right, status, found, download], show)
    wires.connect(left_upload.upload, desk.choose_left, left_upload, wait=True)
    wires.connect(right_upload.upload, desk.choose_right, right_upload, wait=True)
    wires.connect(example.click, desk.example, wait=True)
    wires.connect_place(left, desk.click)
    wires.connect(undo.click, match.undo)
    wires.connect(clear.click, match.clear)


def _table(session: Session) -> list[list[Any]]:
    return [
        [row.point, row.sure, "yes" if row.both_ways else "no", row.left_x, row.left_y, row.right_x, row.right_y]
        for row in match.rows(session)
    ]
