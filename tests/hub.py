"""A hub on the loopback: real folders served as repositories do, and made to fail as real ones do."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from diffsight.backbones.weights.places import NETWORKS, ROOT_VARIABLE

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Serves ``folder/OWNER/NAME/...`` as repositories and ``folder/files/...`` as plain addresses.

    Attributes:
        answers: status and error code by repository or address, instead of the content.
        cuts: how often the line is cut half way through a file, by its name.
        lies: files that arrive with other bytes of the same number, by the end of their path.
        vanishes: files that are gone once a part of them was sent, by name.
        later: the commit that every branch stands for when files are fetched.
        log: (method, path, range) of every request.
    """

    folder: Path
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)
    lies: set[str] = field(default_factory=set)
    vanishes: set[str] = field(default_factory=set)
    later: str = COMMIT
    log: list[tuple[str, str, str | None]] = field(default_factory=list)
    url: str = ""

    def contents(self, ending: str) -> list[str | None]:
        """The ranges asked for of the files whose path has an ending."""
        return [wanted for method, path, wanted in self.log if method == "GET" and path.endswith(ending)]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        self.hub.log.append((self.command, self.path, self.headers.get("Range")))
        for place, (status, code) in self.hub.answers.items():
            if place in self.path:
                return self.send(status, {"X-Error-Code": code} if code else {}, b"", body)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/(.+))?", self.path.split("?")[0]):
            return self.listing(match[1], match[3], body)
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
            commit = match[2] if re.fullmatch("[0-9a-f]{40}", match[2]) else self.hub.later
            return self.file(self.hub.folder / match[1] / match[3], body, commit)
        return self.file(self.hub.folder / self.path.lstrip("/"), body)

    def listing(self, repository: str, revision: str | None, body: bool) -> None:
        folder = self.hub.folder / repository
        if not folder.is_dir():
            return self.send(401, {"X-Error-Code": "RepoNotFound"}, b"", body)
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        commit = revision if revision and re.fullmatch("[0-9a-f]{40}", revision) else COMMIT
        facts = {"id": repository, "sha": commit, "siblings": [{"rfilename": name} for name in names]}
        return self.send(200, {"Content-Type": "application/json"}, json.dumps(facts).encode(), body)

    def file(self, path: Path, body: bool, commit: str = COMMIT) -> None:
        if not path.is_file() or (path.name in self.hub.vanishes and self.headers.get("Range")):
            return self.send(404, {"X-Error-Code": "EntryNotFound"}, b"", body)
        content = path.read_bytes()
        is_large = path.suffix == ".safetensors"
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        headers = {"X-Repo-Commit": commit, "ETag": hashlib.sha256(content).hexdigest() if is_large else git}
        if path.as_posix().endswith(tuple(self.hub.lies)):
            content = bytes(255 - byte for byte in content)
        status, total = 200, len(content)
        if wanted := self.headers.get("Range"):
            first = int(wanted.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {first}-{total - 1}/{total}"
            status, content = 206, content[first:]
        if body and self.hub.cuts.get(path.name, 0) > 0:
            self.hub.cuts[path.name] -= 1
            return self.send(status, headers, content, body, cut=len(content) // 2)
        return self.send(status, headers, content, body)

    def send(self, status: int, headers: dict[str, str], content: bytes, body: bool, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content[:cut])
        self.close_connection = cut is not None


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A loopback hub that the hub's client talks to, with empty caches and no variables set."""
    import huggingface_hub.constants as constants

    (tmp_path / "hub").mkdir()
    served = Hub(tmp_path / "hub")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": served}))
    served.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", served.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", served.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # 10 MB, and less is lost when the line is cut
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in (ROOT_VARIABLE, *(network.variable for network in NETWORKS.values())):
        monkeypatch.delenv(variable, raising=False)
    yield served
    server.shutdown()
    server.server_close()
