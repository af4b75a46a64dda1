"""MQTT's WebSocket layer: first byte says how the stream is cut, then a handshake and frames."""

from __future__ import annotations

from fuzz.target import Target, cuts, hold
from headland.mqtt.websocket import HANDSHAKE_BYTES_MAX, WebSocket

HANDSHAKE = (
    b"GET /mqtt HTTP/1.1\r\nHost: n\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)


def check(data: bytes) -> bytes:
    """Bytes for the broker are the same however the transport's are cut, and there are no more of them."""
    stream = data[1:]
    whole = _played([stream])
    pieces = _played(cuts(stream, data[0] if data else 0))
    hold(len(whole[0]) <= len(stream), "more came out than went in")
    hold(pieces[0] == whole[0], f"in pieces {pieces[0]!r}, at once {whole[0]!r}")
    hold(pieces[1] == whole[1], "ended in pieces and not at once, or the other way round")
    return repr(whole).encode()


def _played(parts: list[bytes]) -> tuple[bytes, bool]:
    socket, out, ended = WebSocket(), b"", False
    for part in parts:
        taken = socket.received(part)
        out += taken.data
        ended = taken.ended
        hold(not ended or not socket.opened, "ended and still open")
        if ended:
            break
        if socket.opened:
            socket.wrap(b"answer")
    return out, ended


def frame(payload: bytes, opcode: int = 2, fin: bool = True) -> bytes:
    """A client's frame, masked with zeros."""
    head = bytes((0x80 * fin | opcode,))
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return head + size + bytes(4) + payload


def seeds() -> dict[str, bytes]:
    """A conversation, cut in two ways; other openings."""
    talk = HANDSHAKE + frame(b"\x10\x0c\x00\x04MQTT") + frame(b"\x05\x02") + frame(b"x" * 200)
    rest = frame(b"a", fin=False) + frame(b"", 9) + frame(b"b", 0) + frame(b"", 10) + frame(b"\x03\xe8", 8)
    return {
        "bytes": b"\0" + talk + rest,
        "cut": b"\x25" + talk + rest,
        "text": b"\x07" + HANDSHAKE + frame("é".encode(), 1),
        "path": b"\xff" + HANDSHAKE.replace(b"/mqtt", b"/other"),
        "origin": b"\xff" + HANDSHAKE.replace(b"\r\n\r\n", b"\r\nOrigin: http://[::1\r\n\r\n"),
        "deflate": b"\xff"
        + HANDSHAKE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        + b"\xc2\x81\0\0\0\0x",
        "long": b"\xff" + b"GET /" + b"x" * HANDSHAKE_BYTES_MAX,
    }


TARGET = Target(
    name="websocket",
    law="what the broker is given does not depend on how the transport cut it",
    check=check,
    seeds=seeds,
    words=(b"\r\n", b"\r\n\r\n", b"Origin: ", b"\x82\xfe", b"\x82\xff", b"\x88\x82", b": ", b"HTTP/1.1"),
    rounds=700,
    input_bytes_max=20_000,
)
