"""The WebSocket layer against the client side of the same library, and against hand-made bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from headland.mqtt.websocket import Taken, WebSocket

HANDSHAKE = (
    b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)


def opened() -> tuple[WebSocket, WSConnection]:
    server, client = WebSocket(), WSConnection(ConnectionType.CLIENT)
    taken = server.received(client.send(Request(host="x", target="/mqtt", subprotocols=["mqtt"])))
    assert not taken.ended
    client.receive_data(taken.reply)
    (accepted,) = client.events()
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol == "mqtt"
    return server, client


def test_the_handshake_answers_as_rfc_6455_says() -> None:
    """RFC 6455 section 1.3; MQTT-6.0.0-4; MQTT-6.0.0-4 of 3.1.1."""
    taken = WebSocket().received(HANDSHAKE)
    assert taken.reply.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in taken.reply
    assert b"Sec-WebSocket-Protocol: mqtt\r\n" in taken.reply


@pytest.mark.parametrize(
    ("request_event", "status"),
    [
        (Request(host="x", target="/mqtt"), 400),
        (Request(host="x", target="/mqtt", subprotocols=["mqttv3.1"]), 400),
        (Request(host="x", target="/admin", subprotocols=["mqtt"]), 404),
        (
            Request(
                host="x", target="/mqtt", subprotocols=["mqtt"], extra_headers=[(b"Origin", b"https://evil")]
            ),
            403,
        ),
    ],
    ids=["no subprotocol", "the subprotocol of 3.1", "another path", "a foreign page"],
)
def test_a_handshake_for_something_else_is_refused(request_event: Request, status: int) -> None:
    """MQTT-6.0.0-3; MQTT-6.0.0-3 of 3.1.1."""
    server, client = WebSocket(origins=("https://home",)), WSConnection(ConnectionType.CLIENT)
    taken = server.received(client.send(request_event))
    assert taken.ended
    client.receive_data(taken.reply)
    refused = next(iter(client.events()))
    assert isinstance(refused, RejectConnection)
    assert refused.status_code == status


@pytest.mark.parametrize(
    ("origin", "origins", "welcome"),
    [
        ("http://node:1880", (), True),
        ("https://evil.example", (), False),
        ("null", (), False),
        ("http://[", (), False),
        ("https://home", ("https://home",), True),
        ("https://home.evil", ("https://home",), False),
        ("https://evil.example", ("*",), True),
    ],
    ids=lambda value: str(value) or "none",
)
def test_a_page_may_connect_to_its_own_host_or_where_it_is_named(
    origin: str, origins: tuple[str, ...], welcome: bool
) -> None:
    """RFC 6455 section 10.2."""
    asked = HANDSHAKE.replace(b"Host: x", b"Host: node:9001").replace(
        b"\r\n\r\n", b"\r\nOrigin: %s\r\n\r\n" % origin.encode()
    )
    taken = WebSocket(origins=origins).received(asked)
    assert taken.reply.startswith(b"HTTP/1.1 101 " if welcome else b"HTTP/1.1 403 ")


def test_what_follows_the_handshake_in_one_read_is_not_lost() -> None:
    data = HANDSHAKE + b"\x82\x81\x00\x00\x00\x00x"
    for at in range(len(data)):
        server = WebSocket()
        parts = [server.received(part) for part in (data[:at], data[at:])]
        assert b"".join(taken.data for taken in parts) == b"x"
        assert b"".join(taken.reply for taken in parts).startswith(b"HTTP/1.1 101 ")
        assert not any(taken.ended for taken in parts)


def test_a_handshake_with_bare_line_feeds_ends_where_the_parser_says() -> None:
    taken = WebSocket().received(HANDSHAKE[:-4] + b"\n\n" + b"\x82\x81\0\0\0\0x")
    assert taken.reply.startswith(b"HTTP/1.1 101 ")
    assert taken.data == b"x"


@pytest.mark.parametrize("name", [b"Connection: ", b"Upgrade: ", b"GET "])
def test_a_handshake_that_is_not_ascii_is_refused(name: bytes) -> None:
    server = WebSocket()
    taken = server.received(HANDSHAKE.replace(name, name + b"\xff"))
    assert taken.ended
    assert not server.opened


def test_after_the_end_nothing_is_open() -> None:
    for end in (
        lambda server, client: server.received(client.send(CloseConnection(code=1000))),
        lambda server, client: server.received(client.send(TextMessage(data="x"))),
        lambda server, client: server.received(b"\x82\x01x"),
        lambda server, client: server.close(),
    ):
        server, client = opened()
        assert server.opened
        end(server, client)
        assert not server.opened


def test_a_frame_longer_than_any_memory_is_passed_on_piece_by_piece() -> None:
    """RFC 6455 section 5.2: up to 2**63 bytes; the broker bounds the packet within."""
    server, _ = opened()
    assert server.received(b"\x82\xff" + (2**63 - 1).to_bytes(8, "big") + bytes(4)) == Taken()
    assert server.received(b"x" * 100_000) == Taken(b"x" * 100_000)


@pytest.mark.parametrize(
    "frame",
    [
        b"\x89\xfe\x00\x7e" + bytes(4 + 126),
        b"\x82\xff" + (2**63).to_bytes(8, "big") + bytes(4),
        b"\xc2\x81\x00\x00\x00\x00x",
        b"\x83\x81\x00\x00\x00\x00x",
        b"\x80\x81\x00\x00\x00\x00x",
        b"\x09\x80\x00\x00\x00\x00",
    ],
    ids=[
        "a ping of 126 bytes", "a length with the top bit", "a reserved bit", "an unknown opcode",
        "a continuation of nothing", "a ping in pieces",
    ],
)  # fmt: skip
def test_a_malformed_frame_ends_the_connection_with_1002(frame: bytes) -> None:
    server, client = opened()
    taken = server.received(frame)
    assert (taken.data, taken.ended) == (b"", True)
    client.receive_data(taken.reply)
    (closed,) = client.events()
    assert isinstance(closed, CloseConnection)
    assert closed.code == 1002


def test_bytes_pass_both_ways_whatever_the_frames() -> None:
    """A packet may span frames and a frame may hold several: MQTT-6.0.0-2; MQTT-6.0.0-2 of 3.1.1."""
    server, client = opened()
    data = b"".join(
        client.send(BytesMessage(data=part, message_finished=last))
        for part, last in ((b"one", True), (b"two", False), (b"three", True))
    )
    assert (
        b"".join(server.received(data[at : at + 2]).data for at in range(0, len(data), 2)) == b"onetwothree"
    )
    client.receive_data(server.wrap(b"x" * 70_000) + server.wrap(b"y"))
    assert b"".join(bytes(event.data) for event in client.events()) == b"x" * 70_000 + b"y"


def test_pings_are_answered_and_a_close_is_returned() -> None:
    server, client = opened()
    client.receive_data(server.received(client.send(Ping(payload=b"p"))).reply)
    assert list(client.events()) == [Pong(payload=b"p")]
    taken = server.received(client.send(CloseConnection(code=1000)))
    assert taken.ended
    client.receive_data(taken.reply)
    assert list(client.events()) == [CloseConnection(code=1000, reason="")]
    assert server.close() == b""


def test_text_ends_the_connection() -> None:
    """MQTT-6.0.0-1; MQTT-6.0.0-1 of 3.1.1."""
    server, client = opened()
    taken = server.received(client.send(BytesMessage(data=b"good")) + client.send(TextMessage(data="bad")))
    assert (taken.data, taken.ended) == (b"good", True)
    client.receive_data(taken.reply)
    assert list(client.events()) == [CloseConnection(code=1003, reason="")]


def test_unmasked_frames_break_the_protocol() -> None:
    """RFC 6455 section 5.1."""
    server, client = opened()
    taken = server.received(b"\x82\x01x")
    assert (taken.data, taken.ended) == (b"", True)
    client.receive_data(taken.reply)
    (closed,) = client.events()
    assert isinstance(closed, CloseConnection)
    assert closed.code == 1002


def test_a_handshake_without_end_is_bounded() -> None:
    server = WebSocket()
    taken = server.received(b"GET /mqtt HTTP/1.1\r\n")
    for _ in range(100):
        taken = server.received(b"X-Filler: " + b"x" * 1_000 + b"\r\n")
        if taken.ended:
            break
    assert taken.ended


@given(st.binary(max_size=80), st.booleans())
def test_random_bytes_never_raise(data: bytes, after_handshake: bool) -> None:
    server = WebSocket()
    if after_handshake:
        server.received(HANDSHAKE)
    server.received(data)
    server.received(data)
