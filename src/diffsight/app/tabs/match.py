"""The tab Match."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from .. import match_results
from ..limits import KEPT, MAX_TARGETS
from ..match import Desk
from ..match_state import LEARNT, Session, take
from ..match_state import clear as clear_points
from ..models import Models
from ..wires import Wires, place, saying_what_fails
from .match_photos import photos_html, photos_part
from .parts import download_button, progress_html, status_html

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


QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


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
    asking = _Asking.lay_out(models)
    learning = _Learning.lay_out()
    finding = _Finding.lay_out(session, folder)

    def show(after: Session) -> list[Any]:
        return [*asking.show(after), *finding.show(after)]

    wires = Wires(session, [*asking.outputs, *finding.outputs], show)
    read = partial(_read, desk, wires, asking.status)
    read(wires.connect_slow(asking.left.upload, desk.choose_left, asking.left, queue="read"))
    read(wires.connect_slow(asking.targets.upload, desk.choose_targets, asking.targets, queue="read"))
    read(wires.connect_slow(asking.example.click, desk.example, queue="read"))
    read(wires.connect(asking.model.select, desk.choose_model, asking.model))
    asking.connect(desk, wires)
    wires.connect_part(finding.photos.mark, place, desk.click)
    learning.connect(desk, wires, asking.learn)


def _read(desk: Desk, wires: Wires[Session], status: gr.HTML, chosen: Any) -> None:
    """After a connection, read what was not read yet, and find the points there."""

    def read(now: Session) -> Iterator[str]:
        with saying_what_fails():
            for line in desk.read(now):
                yield status_html(line)

    ready = chosen.then(read, wires.state, status, concurrency_id="read", concurrency_limit=1, **QUIET)
    wires.connect(ready.then, desk.find)


@dataclass(frozen=True)
class _Asking:
    """Photos, and how their points are found."""

    example: gr.Button
    left: gr.UploadButton
    targets: gr.UploadButton
    model: gr.Dropdown
    method: gr.Radio
    learn: gr.Button
    undo: gr.Button
    clear: gr.Button
    alike: gr.Checkbox
    status: gr.HTML

    @classmethod
    def lay_out(cls, models: Models) -> _Asking:
        with gr.Row():
            example = gr.Button("Try the example", variant="primary", elem_id="match-example", min_width=140)
            left = gr.UploadButton("Photo to click", file_types=["image"], elem_id="match-left", min_width=140)
            targets = gr.UploadButton(
                f"Photos to search (up to {MAX_TARGETS})",
                file_types=["image"],
                file_count="multiple",
                elem_id="match-targets",
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
        status = gr.HTML(status_html(match_results.status(Session())), elem_id="match-status")
        return cls(example, left, targets, model, method, learn, undo, clear, alike, status)

    @property
    def outputs(self) -> list[Any]:
        return [self.learn, self.undo, self.clear, self.status]

    def show(self, after: Session) -> list[Any]:
        return [
            gr.Button(visible=after.method == LEARNT, interactive=after.known < len(after.points)),
            gr.Button(interactive=bool(after.points)),
            gr.Button(interactive=bool(after.points)),
            status_html(match_results.status(after)),
        ]

    def connect(self, desk: Desk, wires: Wires[Session]) -> None:
        wires.connect(self.method.input, desk.choose_method, self.method)
        wires.connect(self.alike.input, desk.show_alike, self.alike)
        wires.connect(self.undo.click, desk.undo)
        wires.connect(self.clear.click, clear_points)


@dataclass(frozen=True)
class _Learning:
    """How far learning is; it runs beside the quick buttons."""

    row: gr.Row
    progress: gr.HTML
    cancel: gr.Button

    @classmethod
    def lay_out(cls) -> _Learning:
        with gr.Row(visible=False, equal_height=True) as row:
            progress = gr.HTML(elem_id="match-progress", min_width=240)
            cancel = gr.Button("Cancel", variant="stop", elem_id="match-cancel", min_width=80, scale=0)
        return cls(row, progress, cancel)

    def connect(self, desk: Desk, wires: Wires[Session], learn: gr.Button) -> None:
        """What was found is taken over at the end of learning, or when it is cancelled."""
        learnt = gr.State(Session(), time_to_live=KEPT)

        def start() -> list[Any]:
            return [gr.Row(visible=True), progress_html("Waiting for its turn", 0)]

        def work(now: Session) -> Iterator[list[Any]]:
            with saying_what_fails():
                for step in desk.learn(now):
                    shown = gr.Row(visible=True)  # a job cancelled before may hide it late
                    yield [step.session, progress_html(step.line, step.share), shown]

        def stop() -> list[Any]:
            return [gr.Row(visible=False), Session()]

        started = learn.click(start, None, [self.row, self.progress], queue=False, **QUIET)
        outputs = [learnt, self.progress, self.row]
        job = started.then(work, wires.state, outputs, concurrency_id="prompt", concurrency_limit=1, **QUIET)
        for ended in (
            wires.connect(job.then, take, learnt),
            wires.connect(self.cancel.click, take, learnt, cancels=job),
        ):
            ended.then(stop, None, [self.row, learnt], queue=False, **QUIET)


@dataclass(frozen=True)
class _Finding:
    """The photos with their points, and what can be kept of them."""

    photos: gr.HTML
    table: gr.Dataframe
    files: gr.Row

    @classmethod
    def lay_out(cls, session: gr.State, folder: Path) -> _Finding:
        photos = photos_part(Session())
        table = gr.Dataframe(
            headers=HEADERS,
            interactive=False,
            visible=False,
            elem_id="match-found",
            label="Points, in pixels of the photos",
        )
        with gr.Row(visible=False) as files:
            for kind, name, make in FILES:
                download_button(f"Download {kind.upper()}", name, make, session, folder, f"match-{kind}")
        return cls(photos, table, files)

    @property
    def outputs(self) -> list[Any]:
        return [self.photos, self.table, self.files]

    def show(self, after: Session) -> list[Any]:
        found = bool(after.found)
        return [photos_html(after), gr.Dataframe(_table(after), visible=found), gr.Row(visible=found)]


def _table(session: Session) -> list[list[Any]]:
    words = {None: "-", True: "yes", False: "no"}
    return [[row.point, row.target, row.sure, words[row.both_ways], *row[4:]] for row in match_results.rows(session)]
