"""A real node under a flood: its memory is bounded, and a client that behaves is served all the while."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Iterator

import psutil
import pytest
from tests.node.running import RunningNode

CONNECTIONS = 400
GROWTH_MB_MAX = 96
ANSWER_S_MAX = 10.0
CONNECT = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04good"
PUBLISH = b"\x32\x06\x00\x01t\x00\x011"
TIGHT = {
    "HEADLAND__MQTT__CONNECTIONS_MAX": "200",
    "HEADLAND__MQTT__PACKET_BYTES_MAX": "65536",
    "HEADLAND__MQTT__PARTIAL_BYTES_MAX": "1048576",
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with RunningNode(tmp_path_factory.mktemp("flood") / "n", environment=TIGHT) as running:
        yield running


def listener(node: RunningNode) -> int:
    return next(port for name, port in node.ports.items() if name.startswith("mqtt:"))


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


class Good:
    """A client that was there before the flood."""

    def __init__(self, node: RunningNode) -> None:
        self.socket = dial(listener(node))
        self.socket.settimeout(ANSWER_S_MAX)
        self.socket.sendall(CONNECT)
        assert self.socket.recv(4) == b"\x20\x02\x00\x00"

    def publish(self) -> float:
        """Publish at QoS 1; seconds until it was acknowledged."""
        began = time.monotonic()
        self.socket.sendall(PUBLISH)
        assert self.socket.recv(4) == b"\x40\x02\x00\x01"
        return time.monotonic() - began


@pytest.fixture
def good(node: RunningNode) -> Iterator[Good]:
    client = Good(node)
    with client.socket:
        yield client


def rss_mb(node: RunningNode) -> float:
    return psutil.Process(node.pid).memory_info().rss / 2**20


def is_ended(client: socket.socket) -> bool:
    """Whether the node ends the connection within the time that a test has."""
    client.settimeout(30)
    with contextlib.suppress(ConnectionError):
        while client.recv(4_096):
            pass
    return True


def was_ended(client: socket.socket) -> bool:
    """Whether the node has ended the connection by now."""
    client.settimeout(0.1)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_a_flood_of_connections_is_bounded_and_harms_nobody(node: RunningNode, good: Good) -> None:
    before = rss_mb(node)
    with contextlib.ExitStack() as open_ones, selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            client = open_ones.enter_context(dial(listener(node)))
            selector.register(client, selectors.EVENT_READ)
        assert good.publish() < ANSWER_S_MAX
        closed: set[int] = set()
        until = time.monotonic() + 30
        while len(closed) <= CONNECTIONS - 200 and time.monotonic() < until:
            for key, _ in selector.select(0.5):
                closed.add(key.fd)
                selector.unregister(key.fileobj)
        assert len(closed) > CONNECTIONS - 200
        assert rss_mb(node) - before < GROWTH_MB_MAX
    assert good.publish() < ANSWER_S_MAX


def test_packets_that_never_end_share_one_bound(node: RunningNode, good: Good) -> None:
    """Slow-loris: 100 clients at once announce 57 KB and send 49: 4.9 MB against a bound of 1 MB."""
    before = rss_mb(node)
    with contextlib.ExitStack() as open_ones:
        clients = [open_ones.enter_context(dial(listener(node))) for _ in range(100)]
        for number, client in enumerate(clients):
            name = b"slow%04d" % number
            client.sendall(b"\x10\x14\x00\x04MQTT\x04\x02\x00\x00\x00\x08" + name)
            client.settimeout(ANSWER_S_MAX)
            assert client.recv(4) == b"\x20\x02\x00\x00"
            with contextlib.suppress(ConnectionError):
                client.sendall(b"\x30\x80\xc0\x03\x00\x01t" + bytes(49_000))
        assert good.publish() < ANSWER_S_MAX
        assert sum(map(was_ended, clients)) > 70
        assert rss_mb(node) - before < GROWTH_MB_MAX
    assert good.publish() < ANSWER_S_MAX


@pytest.mark.parametrize("kind", [0x30, 0x10], ids=["publish", "connect"])
def test_an_oversize_packet_is_refused_by_its_length(node: RunningNode, good: Good, kind: int) -> None:
    before = rss_mb(node)
    with dial(listener(node)) as client:
        if kind == 0x30:
            client.sendall(CONNECT.replace(b"good", b"huge"))
            assert client.recv(4) == b"\x20\x02\x00\x00"
        client.sendall(bytes((kind,)) + b"\xff\xff\xff\x7f")
        assert is_ended(client)
    assert rss_mb(node) - before < GROWTH_MB_MAX
    assert good.publish() < ANSWER_S_MAX


def test_an_oversize_body_is_refused_by_its_length(node: RunningNode, good: Good) -> None:
    with dial(node.ports["http"]) as client:
        client.sendall(
            b"POST /v1/readings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n"
        )
        client.settimeout(30)
        assert client.recv(13) == b"HTTP/1.1 413 "
    assert good.publish() < ANSWER_S_MAX
