"""Serving the page: on this machine alone, without calls to others, leaving no files behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

from ..errors import InvalidInput
from ..matching.matcher import Matcher
from .uploads import MAX_BYTES

MAX_VISITORS = 20
"""Whose photos are held at once; the one who was away longest starts anew."""


def serve(model: str, host: str, port: int | None) -> None:
    """Serve the page until interrupted.

    Args:
        model: a name, a folder, or a recipe.
        host: the address to listen on.
        port: its port; a free one from 7860 on if left out.

    Raises:
        InvalidInput: if Gradio is not installed, or the address cannot be had.
        ModelUnavailable: if the weights cannot be had.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a plain kill cleans up as Ctrl-C does
    with TemporaryDirectory(prefix="diffsight-app-") as folder, running(model, host, port, Path(folder)) as address:
        print(f"{address} (stop with Ctrl-C)", flush=True)
        Event().wait()


@contextmanager
def running(model: str, host: str, port: int | None, folder: Path) -> Iterator[str]:
    """Serve the page while the block runs; gives its address.

    Args:
        model, host, port: as for ``serve``.
        folder: for all files that come up.
    """
    # Gradio reads these as it is imported and as the page is laid out
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=str(folder / "files"))
    try:
        import gradio as gr
    except ImportError as error:
        raise InvalidInput(f"the web page needs Gradio ({error}); pip install 'diffsight[app]'") from None

    from .match import Desk
    from .page import CSS, build, theme

    page = build(Desk(Matcher(model)), folder / "tables")
    try:
        _, address, _ = page.launch(**_launch_settings(host, port), theme=theme(), css=CSS)
    except (OSError, gr.exceptions.ServerFailedToStartError):
        where = host if port is None else f"{host}, port {port},"
        raise InvalidInput(f"the page cannot listen on {where}; give another --host or --port") from None
    try:
        yield address
    finally:
        page.close(verbose=False)


def _launch_settings(host: str, port: int | None) -> dict[str, Any]:
    return {
        "server_name": host,
        "server_port": port,
        "share": False,
        "inbrowser": False,
        "prevent_thread_lock": True,
        "quiet": True,
        "max_file_size": MAX_BYTES,
        "state_session_capacity": MAX_VISITORS,
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": [],
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
    }
