"""The page: one tab for each job."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from .limits import KEPT, MAX_WAITING, TOLD
from .models import Models
from .tabs import match, segment, track, transfer

TABS = {"Match": match, "Segment": segment, "Track": track, "Transfer": transfer}

CSS = """
footer {display: none !important}
.html-container {padding: 0 !important}
.unseen {display: none !important}
.pending {opacity: 1 !important}  /* texts stay readable while work goes on */
"""


def theme() -> gr.themes.Base:
    """Fonts of the visitor's own machine, so that the page fetches none; all of it readable."""
    look = gr.themes.Default(
        primary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return look.set(
        body_text_color_subdued="*neutral_500",
        block_info_text_color="*neutral_500",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_cancel_background_fill="#b91c1c",
        button_cancel_background_fill_hover="#991b1b",
        button_cancel_background_fill_dark="#b91c1c",
        button_cancel_background_fill_hover_dark="#991b1b",
        button_large_text_size="*text_md",
        button_large_text_weight="500",
        button_large_padding="8px 12px",
    )


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
    return page.queue(status_update_rate=TOLD, max_size=MAX_WAITING)
