"""The page: one tab for each job."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from .limits import KEPT, MAX_WAITING
from .models import Models
from .tabs import match, segment

TABS = {"Match": match, "Segment": segment}

CSS = "footer {display: none !important} .clicked img {cursor: crosshair} .flush {padding: 0 !important}"


def theme() -> gr.themes.Base:
    """Fonts of the visitor's own machine, so that the page fetches none."""
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def build(models: Models, folder: Path) -> gr.Blocks:
    """Lay the page out.

    Args:
        models: shared by all tabs and visitors.
        folder: for files that visitors download.
    """
    with gr.Blocks(title="diffsight", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown("# diffsight")
        for name, tab in TABS.items():
            with gr.Tab(name, id=name.lower(), elem_id=f"tab-{name.lower()}"):
                tab.lay_out(models, folder / name.lower())
    return page.queue(max_size=MAX_WAITING)
