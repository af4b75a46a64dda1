"""A real node that is killed or told to stop: what was acknowledged is there afterwards."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.node.clients import V5, V311, Paho, Raw, RawWeb
from tests.node.running import KEEP_ALL, RunningNode, eventually

from headland.mqtt import Properties
from headland.mqtt.encoding import encode
from headland.mqtt.packets import Ack, Connect, PacketType, Publish

VERSIONS = [pytest.param(V5, id="5"), pytest.param(V311, id="3.1.1")]
WEB = '\n[[listen]]\nname = "web"\nport = 0\ntransport = "ws"\nanonymous = true\n'


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    """A node of its own, to be killed."""
    with RunningNode(tmp_path / "n", KEEP_ALL + WEB) as running:
        yield running
        assert "Traceback" not in running.said


def restart(node: RunningNode) -> None:
    node.kill()
    node.start()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_and_what_waits_in_it_survive_a_kill(node: RunningNode, version: int) -> None:
    with Paho(node.ports["mqtt:mqtt"], "s", version, lasting=True) as subscriber:
        subscriber.subscribe("t/#", 2)
    with Paho(node.ports["mqtt:mqtt"], "p", version) as publisher:
        publisher.settle(publisher.publish("state", b"1", retain=True))
        publisher.settle(*(publisher.publish("t/x", b"%d" % at, 1 + at % 2) for at in range(20)))
    restart(node)
    again = Paho(node.ports["mqtt:mqtt"], "s", version, lasting=True)
    flags, reason = again.connect()
    try:
        assert reason == 0
        assert flags.session_present
        assert sorted(int(one.payload) for one in again.take(20)) == list(range(20))
        again.subscribe("state")
        assert again.take(1)[0].retain
    finally:
        again.mqtt.disconnect()
        again.mqtt.loop_stop()


@pytest.mark.parametrize("qos", [1, 2])
def test_a_kill_right_after_the_acknowledgement_loses_nothing(node: RunningNode, qos: int) -> None:
    acknowledged: list[int] = []
    for life in range(2):
        publisher = Paho(node.ports["mqtt:mqtt"], f"p{life}")
        assert publisher.connect()[1] == 0
        infos = {at: publisher.publish("t", b"%d" % at, qos) for at in range(life * 500, life * 500 + 500)}
        infos[life * 500 + 60].wait_for_publish(15)
        node.kill()
        publisher.mqtt.loop_stop()
        acknowledged += [at for at, info in infos.items() if info.is_published()]
        node.start()
    assert 120 <= len(acknowledged) < 1000
    eventually(lambda: set(acknowledged) <= set(node.values("t")))
    values = node.values("t")
    assert values == sorted(values)
    derived = node.books("derived")  # the rules that it began with
    assert node.books("offered") == node.books("kept") == node.books("applied") - derived == len(values)


@pytest.mark.parametrize("web", [False, True], ids=["tcp", "ws"])
def test_qos_2_across_a_kill_is_one_reading_and_one_delivery(node: RunningNode, web: bool) -> None:
    lasting = Connect("device", V5, False, 60, properties=Properties(session_expiry_s=600))
    publish = Publish("once", b"5", 2, packet_id=9)

    def talk(packets: bytes, answer: bytes) -> None:
        with (RawWeb if web else Raw)(node.ports["ws:web" if web else "mqtt:mqtt"]) as raw:
            raw.send(encode(lasting, V5))
            head = raw.read(2)
            raw.read(head[1])
            raw.send(packets)
            assert raw.read(4) == answer

    with Paho(node.ports["mqtt:mqtt"], "s", lasting=True) as subscriber:
        subscriber.subscribe("once", 2)
    talk(encode(publish, V5), b"\x50\x02\x00\x09")
    restart(node)
    publish.dup = True
    talk(encode(publish, V5), b"\x50\x02\x00\x09")
    talk(encode(Ack(PacketType.PUBREL, 9), V5), b"\x70\x02\x00\x09")
    restart(node)
    talk(encode(Ack(PacketType.PUBREL, 9), V5), b"\x70\x03\x00\x09")
    with Paho(node.ports["mqtt:mqtt"], "s", lasting=True) as subscriber:
        assert subscriber.take(1)[0].payload == b"5"
        subscriber.settle(subscriber.publish("once", b"6", 2))
        assert subscriber.take(1)[0].payload == b"6"
    eventually(lambda: node.values("once") == [5, 6])


def test_a_will_whose_client_died_with_the_node_is_published(node: RunningNode) -> None:
    with Paho(node.ports["mqtt:mqtt"], "s", lasting=True) as subscriber:
        subscriber.subscribe("wills", 1)
    device = Paho(node.ports["mqtt:mqtt"], "device", V5, lasting=True, will=("wills", b"-1"))
    assert device.connect()[1] == 0
    node.kill()
    device.mqtt.loop_stop()
    node.start()
    with Paho(node.ports["mqtt:mqtt"], "s", lasting=True) as subscriber:
        assert subscriber.take(1)[0].payload == b"-1"


def test_sigterm_tells_the_clients_stores_what_it_acknowledged_and_exits_0(node: RunningNode) -> None:
    five = Paho(node.ports["mqtt:mqtt"], "five")
    old = Paho(node.ports["mqtt:mqtt"], "old", V311)
    web = Paho(node.ports["ws:web"], "web", web=True)
    for client in (five, old, web):
        assert client.connect()[1] == 0
        client.settle(client.publish("t", b"1"))
    begun = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - begun < 10
    assert five.ended.get(timeout=10).value == 0x8B
    assert web.ended.get(timeout=10).value == 0x8B
    old.ended.get(timeout=10)
    for client in (five, old, web):
        client.mqtt.loop_stop()
    node.start()
    assert node.values("t") == [1, 1, 1]


def catches_sigterm(pid: int) -> bool:
    """Whether a process has a handler for it (Linux: proc_pid_status(5), SigCgt)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True  # elsewhere: the stop comes when it comes
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("when", ["the interpreter runs", "the disk is open", "it listens"])
def test_sigterm_while_it_starts_is_a_clean_end_at_every_moment(tmp_path: Path, when: str) -> None:
    """Kills: a handler that is put in place when the start is over."""
    node = RunningNode(tmp_path / "n", KEEP_ALL + WEB)
    lock = node.directory / "data" / "lock"
    for _ in range(2):  # an empty directory, and one with a log
        lock.unlink(missing_ok=True)
        node.launch()
        try:
            if when == "the interpreter runs":
                eventually(lambda: catches_sigterm(node.pid))
            elif when == "the disk is open":
                eventually(lock.exists)
            else:
                eventually(lambda: node.events("listening"))
            assert catches_sigterm(node.pid)
            assert node.stop() == 0, node.said
            assert "Traceback" not in node.said
        finally:
            node.kill()
        with node:
            assert node.stop() == 0


def test_sigterm_ends_in_bounded_time_while_clients_publish_and_others_hang(node: RunningNode) -> None:
    port = node.ports["mqtt:mqtt"]
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    halves = [socket.create_connection(("127.0.0.1", node.ports["ws:web"])) for _ in range(5)]
    for half in halves:
        half.sendall(b"GET /mqtt HTTP/1.1\r\n")
    stopped = threading.Event()
    acknowledged: list[int] = []

    def push() -> None:
        with Paho(port, "busy") as client:
            at = 0
            while not stopped.is_set() and client.ended.empty():
                infos = [(at + step, client.publish("t", b"%d" % (at + step))) for step in range(50)]
                wait(lambda infos=infos: all(one.is_published() for _, one in infos), stopped)
                acknowledged.extend(number for number, one in infos if one.is_published())
                at += 50

    thread = threading.Thread(target=push)
    thread.start()
    try:
        eventually(lambda: len(acknowledged) > 200)
        assert node.stop(15) == 0
    finally:
        stopped.set()
        thread.join(20)
        for one in silent + halves:
            one.close()
    node.start()
    assert set(acknowledged) <= set(node.values("t"))


def wait(holds: Callable[[], bool], stopped: threading.Event) -> None:
    """Until it holds or all is over."""
    while not holds() and not stopped.wait(0.005):
        pass


def test_a_reload_does_not_cost_a_connection(node: RunningNode) -> None:
    with Paho(node.ports["mqtt:mqtt"], "tcp") as tcp, Paho(node.ports["ws:web"], "web", web=True) as web:
        with node.file.open("a") as file:
            file.write('\n[[user]]\nname = "new"\n')
        node.reload()
        for client in (tcp, web):
            client.settle(client.publish("t", b"1"))
            assert client.ended.empty()
