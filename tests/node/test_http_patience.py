"""A real node ends HTTP clients that drip or idle, and refuses questions that are none."""

from __future__ import annotations

import socket
import urllib.error
from pathlib import Path

import pytest
from tests.node.running import RunningNode

IMPATIENT = {"HEADLAND__HTTP__REQUEST_S": "0.5", "HEADLAND__HTTP__KEEP_ALIVE_S": "0.5"}


def test_slow_and_idle_clients_are_ended_and_bad_limits_refused(tmp_path: Path) -> None:
    with RunningNode(tmp_path / "n", environment=IMPATIENT) as node:
        for said, heard in ((b"GET /healthz HTTP/1.1\r\nHost: a\r\nA: ", b"HTTP/1.1 408 "), (b"", b"")):
            with socket.create_connection(("127.0.0.1", node.ports["http"]), 10) as client:
                client.sendall(said)
                assert client.recv(13) == heard
        for limit in ("-1", "99999999999999999999"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                node.text(f"/v1/query?limit={limit}")
            refused.value.close()
            assert refused.value.code == 400
