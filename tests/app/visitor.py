"""A visitor without a browser: what the page's script sends and hears, for many at once."""

from __future__ import annotations

import json
import secrets
from typing import Any

import httpx


class Visitor:
    """One open page.

    Args:
        address: of the server.

    Attributes:
        heard: what was said to be wrong with the last event.
    """

    def __init__(self, address: str) -> None:
        self.client = httpx.Client(base_url=f"{address.rstrip('/')}/gradio_api", timeout=60, trust_env=False)
        self.client.headers["content-type"] = "application/json"
        self.session = secrets.token_hex(8)
        self.heard: list[str] = []
        config = httpx.get(f"{address.rstrip('/')}/config", trust_env=False).json()
        self._named = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
        self._events = config["dependencies"]

    def send(self, element: str, event: str, values: list[Any] | None = None, about: Any = None) -> list[Any]:
        """Let an event happen, and wait for what it does, and for what comes of that.

        Args:
            element: ``elem_id`` of the component.
            event: such as ``click``.
            values: of the components that the event sends; what the server holds is sent as None.
            about: what the event says besides, such as the place of a click.

        Returns:
            The new values of the components that change.
        """
        self.heard = []
        target = [self._named[element], event]
        found = next(one for one in self._events if target in one["targets"])
        answer = self._call(found, target[0], values, about)
        ended = [found["id"]]
        while ended:
            for then in (one for one in self._events if one["trigger_after"] == ended[0]):
                self._call(then, target[0], None, None)
                ended.append(then["id"])
            del ended[0]
        return answer

    def _call(self, found: dict[str, Any], trigger: int, values: list[Any] | None, about: Any) -> list[Any]:
        body = {
            "data": [None] * len(found["inputs"]) if values is None else values,
            "event_data": about,
            "fn_index": found["id"],
            "session_hash": self.session,
            "trigger_id": trigger,
        }
        event_id = self.client.post("queue/join", content=json.dumps(body)).raise_for_status().json()["event_id"]
        with self.client.stream("GET", "queue/data", params={"session_hash": self.session}) as lines:
            for line in lines.iter_lines():
                message = json.loads(line[6:]) if line.startswith("data: ") else {}
                if message.get("msg") == "log":
                    self.heard.append(message["log"])
                if message.get("msg") == "process_completed" and message["event_id"] == event_id:
                    assert message["success"], message
                    return message["output"]["data"]
        raise ConnectionError(f"the server went silent about {trigger}")
