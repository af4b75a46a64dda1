"""HTTP requests: first byte says how the stream is cut, its highest bit whether answers are deferred."""

from __future__ import annotations

import httptools

from fuzz.target import Target, breach, cuts, hold
from headland.drivers.http_server import HttpLimits, HttpServer, Request, Response
from headland.vocabulary import Instant

NOW = Instant(10**12, 1_700_000_000 * 10**9)
LIMITS = HttpLimits(body_bytes_max=2_048, bodies_bytes_max=4_096)
CONNECTION = 1


class Wire:
    """Remembers what it was told to send."""

    def __init__(self) -> None:
        self.sent = b""
        self.ended = False

    def send(self, connection: int, data: bytes) -> bool:
        """Write."""
        hold(not self.ended, "written after the end")
        self.sent += data
        return True

    def close(self, connection: int, *, flush: bool = True) -> None:
        """End."""
        self.ended = True

    def established(self, connection: int) -> None:
        """Nothing to do."""

    def pause(self, connection: int) -> None:
        """Nothing to do."""

    def resume(self, connection: int) -> None:
        """Nothing to do."""


class Answers:
    """Counts whole answers in a stream."""

    def __init__(self, stream: bytes) -> None:
        self.count = 0
        parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(stream)
        except httptools.HttpParserError as error:
            breach(f"what was answered is not HTTP: {error}: {stream!r}")

    def on_message_complete(self) -> None:
        """One more."""
        self.count += 1


def check(data: bytes) -> bytes:
    """Requests and answers are the same however the bytes are cut; nothing is held when a client is gone."""
    how, stream = (data[0] if data else 0), data[1:]
    defer = how >= 0x80
    whole = _served([stream], defer)
    pieces = _served(cuts(stream, how & 0x7F), defer)
    hold(pieces == whole, f"in pieces {pieces!r}, at once {whole!r}")
    return repr(whole).encode()


def _served(parts: list[bytes], defer: bool) -> tuple[list[str], bytes, bool]:
    wire, asked = Wire(), list[Request]()

    def handle(request: Request) -> Response | None:
        asked.append(request)
        return None if defer else Response(200, request.method.encode())

    server = HttpServer(wire, handle, LIMITS)
    server.opened(CONNECTION, "peer", "", NOW)
    for part in parts:
        if wire.ended:
            break
        server.received(CONNECTION, part, NOW)
        hold(server.body_bytes <= LIMITS.bodies_bytes_max + len(part), f"{server.body_bytes} bytes of bodies")
    answered = 0
    while defer and answered < len(asked):
        request = asked[answered]
        answered += 1
        server.answer(request.number, Response(200, request.method.encode()))
    server.closed(CONNECTION)
    hold(server.body_bytes == 0 and server.waiting == 0, "a client is gone and something is held for it")
    sent = wire.sent.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")  # not owed to who sends the body at once
    if not any(request.method == "HEAD" for request in asked):
        count = Answers(sent).count
        hold(count <= len(asked) + 1, f"{count} answers to {len(asked)} requests")
    shown = [f"{one.method} {one.path} {one.query} {one.headers} {one.body!r} {one.bearer}" for one in asked]
    return shown, sent, wire.ended


def request(method: str, target: str, body: bytes = b"", *headers: str) -> bytes:
    """A request with its length."""
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: n", *length, *headers, "", ""]).encode() + body


def seeds() -> dict[str, bytes]:
    """Requests as clients send them, and as nobody should."""
    chunked = (
        b"POST /c HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    )
    mixed = chunked.replace(b"Transfer", b"Content-Length: 3\r\nTransfer")
    made = {
        "get": request("GET", "/a%20b?c=%41"),
        "pipelined": request("GET", "/1") + request("POST", "/2", b"body") + request("HEAD", "/3"),
        "chunked": chunked + request("GET", "/after"),
        "both": mixed + request("GET", "/after"),
        "expect": request("POST", "/e", b"x" * 20, "Expect: 100-continue"),
        "large": request("POST", "/l", b"x" * 2_100),
        "upgrade": request("GET", "/u", b"", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c") + b"rest",
        "old": b"GET / HTTP/1.0\r\n\r\n",
        "close": request("GET", "/x", b"", "Connection: close", "Authorization: Bearer t")
        + request("GET", "/y"),
        "twice": request("GET", "/x", b"", "Content-Length: 1", "Content-Length: 2"),
        "connect": b"CONNECT n:1 HTTP/1.1\r\nHost: n\r\n\r\nabc",
        "folded": b"GET / HTTP/1.1\r\nHost: n\r\nA: b\r\n c\r\n\r\n",
    }
    return {name: bytes((index * 37 % 256,)) + data for index, (name, data) in enumerate(made.items())}


TARGET = Target(
    name="http",
    law="requests and answers do not depend on how the bytes are cut; a client that is gone holds nothing",
    check=check,
    seeds=seeds,
    words=(
        b"\r\n",
        b"\r\n\r\n",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked\r\n",
        b"0\r\n\r\n",
        b"HTTP/1.1",
        b"Host: n\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"Upgrade: h2c\r\n",
        b"\xff",
    ),
    rounds=3_000,
)
