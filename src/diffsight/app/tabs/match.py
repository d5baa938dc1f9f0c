"""The tab Match."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from .. import match_results
from ..limits import KEPT, MAX_TARGETS
from ..match import Desk
from ..match_state import LEARNT, Progress, Session, adopt
from ..match_state import clear as clear_points
from ..models import Models
from ..wires import Wires, offer, place, saying_what_fails
from .match_photos import photos_html, photos_part

HEADERS = ["point", "photo", "sure", "both ways", "x", "y", "found x", "found y"]

METHODS = [
    ("quick", "quick"),
    ("keep the arrangement of points", "arranged"),
    ("learn each point first (slow)", LEARNT),
]

FILES: list[tuple[str, str, Callable[[Session], bytes]]] = [
    ("csv", "matches.csv", match_results.table),
    ("json", "matches.json", match_results.report),
    ("png", "matches.png", match_results.drawing),
]

CLICK_FILE = "() => document.querySelector('#match-file').click()"


def lay_out(models: Models, folder: Path) -> None:
    """One photo to click and those to search side by side, a table of points below.

    Args:
        models: to find points with.
        folder: for files that visitors download, and the photos that the page shows.
    """
    shown = folder / "photos"
    gr.set_static_paths([shown])
    desk = Desk(models, shown)
    session = gr.State(Session(), time_to_live=KEPT)

    gr.Markdown(
        "Photos of things of one kind: click a spot in the first, and its like is marked in the others, with how sure "
        "that is."
    )
    with gr.Row():
        example = gr.Button("Try the example", variant="primary", elem_id="match-example", min_width=140)
        left = gr.UploadButton("Photo to click", file_types=["image"], elem_id="upload-left", min_width=140)
        targets = gr.UploadButton(
            f"Photos to search (up to {MAX_TARGETS})",
            file_types=["image"],
            file_count="multiple",
            elem_id="upload-targets",
            min_width=140,
        )
    with gr.Row():
        model = gr.Dropdown(list(models.names), label="Model", elem_id="match-model", min_width=160, scale=1)
        method = gr.Radio(
            METHODS, value="quick", label="How points are found", elem_id="match-method", min_width=300, scale=3
        )
    with gr.Row():
        learn = gr.Button(
            "Learn and find", variant="primary", visible=False, elem_id="match-learn", min_width=160, scale=0
        )
        undo = gr.Button("Undo", elem_id="match-undo", min_width=100, scale=0, interactive=False)
        clear = gr.Button("Clear", elem_id="match-clear", min_width=100, scale=0, interactive=False)
        alike = gr.Checkbox(
            label="Show where else it looks alike", container=False, elem_id="match-alike", min_width=240, scale=1
        )
    status = gr.HTML(_line(match_results.status(Session())), elem_id="match-status")
    with gr.Row(visible=False, equal_height=True) as running:
        progress = gr.HTML(elem_id="match-progress", min_width=240)
        cancel = gr.Button("Cancel", variant="stop", elem_id="match-cancel", min_width=80, scale=0)
    photos = photos_part(Session())
    found = gr.Dataframe(
        headers=HEADERS,
        interactive=False,
        visible=False,
        elem_id="match-found",
        label="Points, in pixels of the photos",
    )
    with gr.Row(visible=False) as files:
        buttons = [
            gr.Button(f"Download {kind.upper()}", elem_id=f"match-{kind}", min_width=120) for kind, _, _ in FILES
        ]
        file = gr.DownloadButton("Download", elem_id="match-file", elem_classes="unseen")

    def show(after: Session) -> list[Any]:
        return [
            photos_html(after),
            _line(match_results.status(after)),
            gr.Button(visible=after.method == LEARNT, interactive=after.known < len(after.points)),
            gr.Button(interactive=bool(after.points)),
            gr.Button(interactive=bool(after.points)),
            gr.Dataframe(_table(after), visible=bool(after.found)),
            gr.Row(visible=bool(after.found)),
        ]

    outputs = [photos, status, learn, undo, clear, found, files]
    wires, slow = (Wires(session, outputs, show, queue) for queue in ("quick", "read"))

    def read(now: Session) -> Iterator[str]:
        with saying_what_fails():
            for line in desk.read(now):
                yield _line(line)

    for chosen in (
        slow.connect(left.upload, desk.choose_left, left),
        slow.connect(targets.upload, desk.choose_targets, targets),
        slow.connect(example.click, desk.example),
        wires.connect(model.input, desk.choose_model, model),
    ):
        ready = chosen.then(
            read,
            session,
            status,
            concurrency_id="read",
            concurrency_limit=1,
            show_progress="hidden",
            api_visibility="private",
        )
        wires.connect(ready.then, desk.find)
    wires.connect_part(photos.mark, place, desk.click)
    wires.connect(method.input, desk.choose_method, method)
    wires.connect(alike.input, desk.show_alike, alike)
    wires.connect(undo.click, desk.undo)
    wires.connect(clear.click, clear_points)
    _connect_learning(desk, wires, learn, cancel, progress, running)
    _connect_files(folder, session, buttons, file)


def _connect_learning(
    desk: Desk, wires: Wires[Session], learn: gr.Button, cancel: gr.Button, progress: gr.HTML, running: gr.Row
) -> None:
    """Learning runs beside the quick buttons; what it has found is taken over at its end, or when it is cancelled."""
    learnt = gr.State(Session(), time_to_live=KEPT)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def work(now: Session) -> Iterator[list[Any]]:
        with saying_what_fails():
            for step in desk.learn(now):
                yield [step.session, _bar(step), gr.Row(visible=True)]  # a job cancelled before may hide it late

    def start(now: Session) -> list[Any]:
        return [gr.Row(visible=True), _bar(Progress("Waiting for its turn", 0, now))]

    def stop() -> list[Any]:
        return [gr.Row(visible=False), Session()]

    started = learn.click(start, wires.state, [running, progress], queue=False, **quiet)
    job = started.then(
        work, wires.state, [learnt, progress, running], concurrency_id="prompt", concurrency_limit=1, **quiet
    )
    for ended in (
        wires.connect(job.then, adopt, learnt),
        wires.connect(cancel.click, adopt, learnt, cancels=job),
    ):
        ended.then(stop, None, [running, learnt], queue=False, **quiet)


def _connect_files(folder: Path, session: gr.State, buttons: list[gr.Button], file: gr.DownloadButton) -> None:
    """A file is made when it is asked for, and then offered by a button that nobody sees."""
    for button, (_, name, content) in zip(buttons, FILES, strict=True):

        def make(now: Session, name: str = name, content: Callable[[Session], bytes] = content) -> gr.DownloadButton:
            return offer(lambda: content(now), folder, name)

        made = button.click(make, session, file, concurrency_id="read", concurrency_limit=1, api_visibility="private")
        made.success(None, js=CLICK_FILE)


def _line(text: str) -> str:
    return f'<p role="status">{escape(text)}</p>'


def _bar(step: Progress) -> str:
    style = "width: 100%; accent-color: var(--color-accent)"
    return f'<label>{escape(step.line)} <progress style="{style}" value="{step.share:.3f}"></progress></label>'


def _table(session: Session) -> list[list[Any]]:
    words = {None: "-", True: "yes", False: "no"}
    return [[row.point, row.target, row.sure, words[row.both_ways], *row[4:]] for row in match_results.rows(session)]
