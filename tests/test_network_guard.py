"""No test reaches further than this machine."""

from __future__ import annotations

import socket

import pytest


def test_reaching_for_the_network_ends_a_test():
    with pytest.raises(pytest.fail.Exception, match="192.0.2.1"), socket.socket() as line:
        line.connect(("192.0.2.1", 80))
    with pytest.raises(pytest.fail.Exception, match="huggingface.co"):
        socket.create_connection(("huggingface.co", 443), timeout=1)


def test_the_loopback_is_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=1).close()
