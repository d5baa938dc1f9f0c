"""Serving the page: on this machine alone, without calls to others, leaving no files behind."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

from ..errors import InvalidInput
from .limits import MAX_CLIP_BYTES, MAX_VISITORS


def serve(models: Sequence[str], host: str, port: int | None, share: bool) -> None:
    """Serve the page until interrupted.

    Args:
        models: names, folders, or recipes that visitors choose from.
        host: the address to listen on.
        port: its port; a free one from 7860 on if left out.
        share: have Gradio's relay give a public address for a week, through which anyone who knows it comes in.

    Raises:
        InvalidInput: if Gradio is not installed, or the address cannot be had.
        ModelUnavailable: if the weights cannot be had.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a plain kill cleans up as Ctrl-C does
    with (
        TemporaryDirectory(prefix="diffsight-app-") as folder,
        running(models, host, port, Path(folder), share=share) as address,
    ):
        print(f"{address} (stop with Ctrl-C)", flush=True)
        Event().wait()


@contextmanager
def running(models: Sequence[str], host: str, port: int | None, folder: Path, *, share: bool = False) -> Iterator[str]:
    """Serve the page while the block runs; gives its address.

    Args:
        models, host, port, share: as for ``serve``.
        folder: for all files that come up.
    """
    _check_address(host, port)
    os.environ.update(_surroundings(host, folder))
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise InvalidInput(f"the web page needs Gradio ({error}); pip install 'diffsight[app]'") from None

    from .models import Models
    from .page import CSS, build, theme

    page = build(Models(models), folder / "downloads")
    with redirect_stdout(StringIO()):  # Gradio has its own say about public addresses
        _, address, public = page.launch(**_launch_settings(host, port), share=share, theme=theme(), css=CSS)
    try:
        if share and not public:
            raise InvalidInput("Gradio's relay gives no public address (is it reachable?); leave --share out")
        yield public or address
    finally:
        page.close(verbose=False)


def _check_address(host: str, port: int | None) -> None:
    """Say that an address cannot be had before the model is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port or 0), family=family).close()
    except OSError as error:
        where = host if port is None else f"{host}, port {port}"
        raise InvalidInput(f"cannot listen on {where} ({error.strerror}); give another --host or --port") from None


def _surroundings(host: str, folder: Path) -> dict[str, str]:
    """What Gradio reads from the environment as it is imported and as the page is laid out, and PyTorch as it loads."""
    direct = [os.environ.get("NO_PROXY", ""), os.environ.get("no_proxy", ""), "127.0.0.1", "localhost", host]
    return {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(sys.maxsize),  # else it adds up all events, in pandas, after each one
        "GRADIO_ANALYTICS_MAX_EVENTS": "1",
        "GRADIO_TEMP_DIR": str(folder / "files"),
        "no_proxy": ",".join(filter(None, direct)),  # it asks its own server whether it is up
        # PyTorch's threads sleep while they wait for each other; on busy cores spinning costs a click 30 times its work
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        "TQDM_DISABLE": "1",
    }


def _launch_settings(host: str, port: int | None) -> dict[str, Any]:
    return {
        "server_name": host,
        "server_port": port,
        "inbrowser": False,
        "prevent_thread_lock": True,
        "quiet": True,
        "max_file_size": MAX_CLIP_BYTES,
        "state_session_capacity": MAX_VISITORS,
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": [],
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
    }
