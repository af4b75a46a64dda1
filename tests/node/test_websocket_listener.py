"""MQTT over WebSocket at a real node (MQTT 5.0 and 3.1.1 section 6, RFC 6455)."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from tests.node.clients import V5, V311, Paho, Raw, RawWeb, Tls
from tests.node.running import RunningNode, eventually
from wsproto.events import BytesMessage, CloseConnection, Ping

from headland.mqtt.encoding import encode
from headland.mqtt.packets import Connect, Disconnect, Publish

VERSIONS = [pytest.param(V5, id="5"), pytest.param(V311, id="3.1.1")]
CONNECT = encode(Connect("", V5), V5)


@pytest.fixture
def topic() -> str:
    """One that no other test uses."""
    return f"w/{uuid4().hex[:12]}"


@pytest.fixture
def bystander(node: RunningNode) -> Iterator[Paho]:
    """Another client of the same listener, which must not notice."""
    with Paho(node.ports["ws:web"], f"b-{uuid4().hex[:8]}", web=True) as client:
        yield client
        topic = f"bystander/{uuid4().hex[:8]}"
        client.subscribe(topic)
        client.settle(client.publish(topic, b"1"))
        assert client.take(1)[0].payload == b"1"
        assert client.ended.empty()


def handshake(**headers: str) -> bytes:
    """A good one, except for what is given (with `_` for `-`; "" leaves a header out)."""
    request = headers.pop("request", "GET /mqtt HTTP/1.1")
    fields = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "mqtt",
        **{key.replace("_", "-"): value for key, value in headers.items()},
    }
    lines = [request, *(f"{key}: {value}" for key, value in fields.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("version", VERSIONS)
def test_paho_speaks_mqtt_over_websocket_over_tls(node: RunningNode, topic: str, version: int) -> None:
    tls = Tls(node.directory / "ca" / "ca.pem")
    client = Paho(node.ports["ws:secure-web"], topic.replace("/", ""), version, web=True, tls=tls)
    client.mqtt.ws_set_options(path="/broker")
    with client:
        client.subscribe(topic)
        client.settle(*(client.publish(topic, b"%d" % at, at % 3) for at in range(30)))
        assert sorted(int(one.payload) for one in client.take(30)) == list(range(30))
    eventually(lambda: node.values(topic) == list(range(30)))


def test_a_payload_of_many_reads_passes_both_ways(node: RunningNode, topic: str) -> None:
    payload = b"x" * 60_000
    with Paho(node.ports["ws:web"], topic.replace("/", ""), web=True) as client:
        client.subscribe(topic)
        client.settle(*(client.publish(topic, payload) for _ in range(20)))
        assert [one.payload for one in client.take(20)] == [payload] * 20


def test_packets_and_frames_need_not_coincide(node: RunningNode, topic: str) -> None:
    """MQTT-6.0.0-2."""
    packets = CONNECT + b"".join(
        encode(Publish(topic, b"%d" % at, 1, packet_id=at), V5) for at in range(1, 4)
    )
    with RawWeb(node.ports["ws:web"]) as raw:
        for at in range(0, len(packets), 7):
            raw.send(packets[at : at + 7])
        head = raw.read(2)
        assert head[0] == 0x20
        raw.read(head[1])
        acks = raw.read(12)
    assert [acks[at : at + 4] for at in range(0, 12, 4)] == [bytes((0x40, 2, 0, at)) for at in range(1, 4)]
    eventually(lambda: node.values(topic) == [1, 2, 3])


def test_what_is_published_in_the_same_read_as_the_farewell_is_stored(node: RunningNode, topic: str) -> None:
    with RawWeb(node.ports["ws:web"]) as raw:
        publish = encode(Publish(topic, b"1", 1, packet_id=1), V5)
        raw.send(CONNECT + publish + encode(Disconnect(), V5))
        assert raw.rest()[:1] == b"\x20"
        assert raw.code == 1000
    eventually(lambda: node.values(topic) == [1])


def test_who_closes_before_its_acknowledgement_harms_nobody(
    node: RunningNode, bystander: Paho, topic: str
) -> None:
    with RawWeb(node.ports["ws:web"]) as raw:
        raw.send(CONNECT)
        assert raw.read(1) == b"\x20"
        # The answer to the ping is there at once, that to the publish when there is nobody any more.
        publish = encode(Publish(topic, b"1", 1, packet_id=1), V5) + b"\xc0\x00"
        farewell = raw.wire.send(BytesMessage(data=publish)) + raw.wire.send(CloseConnection(code=1001))
        raw.socket.sendall(farewell)
        raw.rest()
        assert raw.code == 1001
    eventually(lambda: node.values(topic) == [1])
    assert "Traceback" not in node.said


def test_a_websocket_ping_is_answered(node: RunningNode) -> None:
    with RawWeb(node.ports["ws:web"]) as raw:
        raw.socket.sendall(raw.wire.send(Ping(payload=b"there?")))
        assert raw.socket.recv(8) == b"\x8a\x06there?"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (handshake(request="GET /admin HTTP/1.1"), b"404"),
        (handshake(request="POST /mqtt HTTP/1.1"), b"400"),
        (handshake(Host=""), b"400"),
        (handshake(Upgrade=""), b"400"),
        (handshake(Connection=""), b"400"),
        (handshake(Sec_WebSocket_Key=""), b"400"),
        (handshake(Sec_WebSocket_Version="8"), b"4"),
        (handshake(Sec_WebSocket_Protocol=""), b"400"),
        (handshake(Sec_WebSocket_Protocol="mqttv3.1"), b"400"),
        (handshake(Origin="https://evil.example"), b"403"),
        (handshake(Origin="null"), b"403"),
        (b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01xyz\r\n\r\n", b"400"),
        (b"\x00" * 200 + b"\r\n\r\n", b"400"),
        (handshake(Filler="x" * 70_000), b"4"),
    ],
    ids=[
        "another path", "POST", "no host", "no upgrade", "no connection", "no key",
        "an old version", "no subprotocol", "the subprotocol of 3.1", "a foreign page", "a page of nowhere",
        "MQTT without WebSocket", "zeros", "a long header",
    ],
)  # fmt: skip
def test_a_malformed_handshake_is_refused_and_closed(
    node: RunningNode, bystander: Paho, data: bytes, status: bytes
) -> None:
    with Raw(node.ports["ws:web"]) as raw:
        raw.send(data)
        assert raw.rest().startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("origin", ["http://localhost:1880", "http://dashboard.example"])
def test_a_page_of_this_host_or_a_named_one_may_connect(node: RunningNode, origin: str) -> None:
    with Raw(node.ports["ws:web"]) as raw:
        raw.send(handshake(Origin=origin))
        assert raw.read(12) == b"HTTP/1.1 101"


@pytest.mark.parametrize("said", [b"", b"GET /mqtt HTTP/1.1\r\nHost: x\r\n", handshake()])
def test_who_does_not_finish_in_time_is_closed(node: RunningNode, bystander: Paho, said: bytes) -> None:
    with Raw(node.ports["ws:web"]) as raw:
        raw.send(said)
        raw.rest()


def masked(head: bytes, payload: bytes = b"") -> bytes:
    """A frame whose mask is zeros."""
    return head + bytes(4) + payload


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x82\x01x", 1002),
        (masked(b"\x89\xfe\x00\x7e", bytes(126)), 1002),
        (masked(b"\x82\xff" + (2**63).to_bytes(8, "big")), 1002),
        (masked(b"\xc2\x81", b"x"), 1002),
        (masked(b"\x83\x81", b"x"), 1002),
        (masked(b"\x80\x81", b"x"), 1002),
        (masked(b"\x81\x84", b"text"), 1003),
        (masked(b"\x81\x82", b"\xff\xfe"), 1007),
    ],
    ids=[
        "unmasked", "a large ping", "a length with the top bit", "a reserved bit", "an unknown opcode",
        "a continuation of nothing", "text (MQTT-6.0.0-1)", "text that is not UTF-8",
    ],
)  # fmt: skip
def test_a_malformed_frame_closes_its_own_connection(
    node: RunningNode, bystander: Paho, frame: bytes, code: int
) -> None:
    with RawWeb(node.ports["ws:web"]) as raw:
        raw.send(CONNECT)
        raw.socket.sendall(frame)
        assert raw.rest()[:1] == b"\x20"
        assert raw.code == code


def test_an_oversized_packet_in_a_frame_of_any_length_closes_its_own_connection(
    node: RunningNode, bystander: Paho
) -> None:
    with RawWeb(node.ports["ws:web"]) as raw:
        raw.send(CONNECT)
        raw.socket.sendall(masked(b"\x82\xff" + (2**62).to_bytes(8, "big"), b"\x30\xff\xff\xff\x7f"))
        data = raw.rest()
    assert data[-2 - data[data.rindex(b"\xe0") + 1] :][0] == 0xE0
    assert data[data.rindex(b"\xe0") + 2] == 0x95


def test_a_malformed_packet_is_answered_with_its_reason_and_a_closing_frame(
    node: RunningNode, bystander: Paho
) -> None:
    with RawWeb(node.ports["ws:web"]) as raw:
        raw.send(CONNECT + b"\x36\x05\x00\x01a\x00\x01")
        data = raw.rest()
        assert data[data[1] + 2 :][0] == 0xE0
        assert data[data[1] + 2 :][2] == 0x81
        assert raw.code == 1000
