"""How a POST is done, within its time limit and a bounded memory.

It follows no redirect: the answer 2xx is success, everything else is not. Of the answer only the status line
is read. A module of its own because an HTTP client takes 1 MB: a node whose rules post nothing has none.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from urllib.parse import urlsplit

from headland.line.deciding import Actuation
from headland.sinks.doing import Trouble

HEAD_MAX = 16_384
"""Bytes of an answer that are looked at for its status."""


def post(actuation: Actuation, authorization: str = "") -> None:
    """Post an actuation to its URL.

    Raises:
        Trouble: Not reached in time, or not answered 2xx.
    """
    until = time.monotonic() + actuation.limit_s
    headers = {
        "Idempotency-Key": actuation.key.text(),
        "Content-Type": "application/json",
        "Connection": "close",
    }
    if authorization:
        headers["Authorization"] = authorization
    try:
        url = urlsplit(actuation.target)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname or "", url.port, timeout=actuation.limit_s)
        with contextlib.closing(connection):
            connection.request("POST", path, actuation.payload, headers)
            assert connection.sock is not None
            status = _status(connection.sock, until)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Trouble(str(error) or type(error).__name__) from None
    if not 200 <= status < 300:
        raise Trouble(f"answered {status}")


def _status(wire: socket.socket, until: float) -> int:
    """The final status of an answer, read until a moment whatever the pace of the sender."""
    head = b""
    while True:
        while b"\n" not in head:
            head += _more(wire, until, len(head))
        line, _, _ = head.partition(b"\n")
        parts = line.split(None, 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
            raise http.client.BadStatusLine(line[:80].decode("latin-1"))
        status = int(parts[1])
        if status >= 200 or status == 101:
            return status
        while b"\r\n\r\n" not in head:
            head += _more(wire, until, len(head))
        head = head.partition(b"\r\n\r\n")[2]


def _more(wire: socket.socket, until: float, have: int) -> bytes:
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("no answer in time")
    if have > HEAD_MAX:
        raise ValueError("an answer without end")
    wire.settimeout(left_s)
    data = wire.recv(4096)
    if not data:
        raise ConnectionError("the connection was closed before an answer")
    return data
