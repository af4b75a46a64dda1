"""The MQTT listeners of a real node, and other people's clients."""

from __future__ import annotations

import shutil
import socket
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.node.clients import PASSWORD, V5, V311, Paho, Raw, Tls
from tests.node.running import RunningNode, eventually, headland

from headland.mqtt import Properties
from headland.mqtt.encoding import encode
from headland.mqtt.packets import Connect, Publish

VERSIONS = [pytest.param(V5, id="5"), pytest.param(V311, id="3.1.1")]
needs_mosquitto = pytest.mark.skipif(
    not (shutil.which("mosquitto_pub") and shutil.which("mosquitto_sub")),
    reason="mosquitto_pub and mosquitto_sub are not installed",
)


@pytest.fixture
def topic() -> str:
    """One that no other test uses."""
    return f"t/{uuid4().hex[:12]}"


def name() -> str:
    """A client identifier that no other test uses."""
    return f"c-{uuid4().hex[:12]}"


def doors(node: RunningNode) -> dict[str, dict[str, Any]]:
    return {
        "tcp": {"port": node.ports["mqtt:mqtt"]},
        "ws": {"port": node.ports["ws:web"], "web": True},
    }


@pytest.mark.parametrize("door", ["tcp", "ws"])
@pytest.mark.parametrize("version", VERSIONS)
def test_what_paho_publishes_is_stored_and_reaches_subscribers(
    node: RunningNode, topic: str, version: int, door: str
) -> None:
    """MQTT-4.2-1; MQTT-7.0.0-2, MQTT-7.1.1-1 of 3.1.1."""
    with (
        Paho(**doors(node)[door], name=name(), version=version) as subscriber,
        Paho(**doors(node)[door], name=name(), version=version) as publisher,
    ):
        assert subscriber.subscribe(f"{topic}/+", 2) == [2]
        sent = [publisher.publish(f"{topic}/{at % 3}", b"%d" % at, at % 3) for at in range(60)]
        publisher.settle(*sent)
        got = subscriber.take(60)
    for qos in range(3):
        # In order per topic; paho hands a QoS 2 message on at its PUBREL.
        assert [int(one.payload) for one in got if one.qos == qos] == list(range(qos, 60, 3))
        eventually(lambda qos=qos: node.values(f"{topic}/{qos}") == list(range(qos, 60, 3)))
    assert node.books("offered") == node.books("kept") + node.books("quarantined")


@needs_mosquitto
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", VERSIONS)
def test_mosquitto_publishes_to_mosquitto(node: RunningNode, topic: str, version: int, qos: int) -> None:
    common = ["-h", "127.0.0.1", "-p", str(node.ports["mqtt:mqtt"]), "-q", str(qos)]
    common += ["-V", "5" if version == V5 else "311", "-t", topic]
    before = node.ask("/v1/status")["mqtt"]["subscribes"]
    subscriber = subprocess.Popen(
        ["mosquitto_sub", *common, "-C", "20", "-F", "%q %p"], stdout=subprocess.PIPE, text=True
    )
    try:
        eventually(lambda: node.ask("/v1/status")["mqtt"]["subscribes"] > before)
        lines = "".join(f"{at}\n" for at in range(20))
        subprocess.run(["mosquitto_pub", *common, "-l"], input=lines, text=True, check=True, timeout=30)
        output, _ = subscriber.communicate(timeout=30)
    finally:
        subscriber.kill()
        subscriber.wait(10)
    assert output.splitlines() == [f"{qos} {at}" for at in range(20)]
    eventually(lambda: node.values(topic) == list(range(20)))


@pytest.mark.parametrize("version", VERSIONS)
def test_retained_messages_and_wills_reach_who_subscribes(
    node: RunningNode, topic: str, version: int
) -> None:
    door = doors(node)["tcp"]
    publisher = Paho(**door, name=name(), version=version, will=(topic, b"-1"))
    assert publisher.connect()[1] == 0
    publisher.settle(publisher.publish(topic, b"1", retain=True))
    with Paho(**door, name=name(), version=version) as subscriber:
        subscriber.subscribe(topic)
        (first,) = subscriber.take(1)
        assert (first.payload, first.retain) == (b"1", True)
        publisher.vanish()
        (second,) = subscriber.take(1)
        assert (second.payload, bool(second.retain)) == (b"-1", False)
        subscriber.settle(subscriber.publish(topic, b"", retain=True))


def test_shared_subscriptions_split_the_stream(node: RunningNode, topic: str) -> None:
    door = doors(node)["tcp"]
    with (
        Paho(**door, name=name()) as one,
        Paho(**door, name=name()) as two,
        Paho(**door, name=name()) as all_,
    ):
        for half in (one, two):
            half.subscribe(f"$share/g/{topic}")
        all_.subscribe(topic)
        one.settle(*(one.publish(topic, b"%d" % at) for at in range(20)))
        assert [int(message.payload) for message in all_.take(20)] == list(range(20))
        eventually(lambda: one.messages.qsize() + two.messages.qsize() == 20)
        halves = [
            [int(message.payload) for message in half.take(half.messages.qsize())] for half in (one, two)
        ]
    assert sorted(halves[0] + halves[1]) == list(range(20))
    assert all(halves)


# Who may enter, and what then


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("user", "welcome"),
    [
        (("gateway", PASSWORD), True),
        (("person", PASSWORD), True),
        (("typed", PASSWORD), True),
        (("gateway", "wrong"), False),
        (("person", "wrong"), False),
        (("typed", "wrong"), False),
        (("nobody", PASSWORD), False),
        (("site/press", ""), False),
        (None, False),
    ],
    ids=[
        "by file",
        "by environment",
        "slowly",
        "wrong",
        "wrong too",
        "slowly wrong",
        "unknown",
        "has no password",
        "anonymous",
    ],
)
def test_only_users_with_their_password_enter(
    node: RunningNode, version: int, user: tuple[str, str] | None, welcome: bool
) -> None:
    client = Paho(node.ports["mqtt:known"], name(), version, user=user)
    _, reason = client.connect()
    client.mqtt.disconnect()
    client.mqtt.loop_stop()
    assert reason.is_failure is not welcome
    if not welcome:
        assert reason.getName() in ("Not authorized", "Bad user name or password")


def test_who_guesses_passwords_delays_nobody_and_locks_nobody_else_out(node: RunningNode, topic: str) -> None:
    """Kills: a slow check that the loop waits for; one budget of attempts for all addresses."""
    port = node.ports["mqtt:known"]
    with Paho(port, name(), user=("gateway", PASSWORD)) as other:
        guesses = []
        for at in range(30):
            guess = socket.create_connection(("127.0.0.1", port), 15, source_address=("127.0.0.2", 0))
            words = Connect(name(), V311, True, username="typed", password=b"guess %d" % at)
            guess.sendall(encode(words, V311))
            guesses.append(guess)
        other.settle(*(other.publish(f"plant/gateway/{topic}", b"%d" % at, 1) for at in range(20)))
        with Paho(port, name(), user=("typed", PASSWORD)) as late:
            late.settle(late.publish(topic, b"1", 1))
        for guess in guesses:
            guess.settimeout(15)
            assert guess.recv(4)[:2] == b"\x20\x02"
            guess.close()


def test_a_user_publishes_and_subscribes_where_it_may(node: RunningNode, topic: str) -> None:
    with (
        Paho(node.ports["mqtt:known"], name(), user=("gateway", PASSWORD)) as gateway,
        Paho(node.ports["mqtt:known"], name(), user=("person", PASSWORD)) as person,
    ):
        assert gateway.subscribe("#") == [0x87]
        assert gateway.subscribe("commands/#") == [0x87]
        assert gateway.subscribe("commands/gateway/#") == [1]
        assert person.subscribe("plant/#") == [1]
        refused = gateway.publish(f"plant/other/{topic}", b"1")
        allowed = gateway.publish(f"plant/gateway/{topic}", b"2")
        gateway.settle(refused, allowed)
        assert person.take(1)[0].payload == b"2"
        person.settle(person.publish(f"commands/gateway/{topic}", b"3"))
        assert gateway.take(1)[0].payload == b"3"
    eventually(lambda: node.values(f"plant/gateway/{topic}") == [2])
    assert node.values(f"plant/other/{topic}") == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_is_the_user(node: RunningNode, press: Tls, topic: str, version: int) -> None:
    with Paho(node.ports["mqtt:devices"], name(), version, tls=press) as client:
        assert client.subscribe("#")[0] >= 0x80
        assert client.subscribe(f"press/{topic}") == [1]
        client.settle(client.publish(f"press/{topic}", b"7"))
        assert client.take(1)[0].payload == b"7"
    eventually(lambda: node.values(f"press/{topic}") == [7])


def connack_over_tls(raw: Raw, tls: Tls) -> bytes:
    """Under TLS 1.3 a client learns at its first read that it was refused."""
    with tls.context().wrap_socket(raw.socket, server_hostname="localhost") as wrapped:
        wrapped.sendall(encode(Connect("x", V5), V5))
        data = wrapped.recv(1)
    if not data:
        raise ConnectionResetError
    return data


def test_who_shows_no_certificate_or_a_strangers_is_not_let_in(
    node: RunningNode, stranger: Tls, press: Tls
) -> None:
    for tls in (Tls(press.ca), stranger):
        with Raw(node.ports["mqtt:devices"]) as raw, pytest.raises(OSError):
            connack_over_tls(raw, tls)
    eventually(lambda: len(node.events("refused")) >= 2)
    assert {line["cause"] for line in node.events("refused")} == {"certificate refused"}


@needs_mosquitto
def test_mosquitto_enters_with_a_certificate(node: RunningNode, press: Tls, topic: str) -> None:
    door = ["-h", "localhost", "-p", str(node.ports["mqtt:devices"]), "--cafile", str(press.ca)]
    door += ["--cert", str(press.certificate), "--key", str(press.key)]
    subprocess.run(
        ["mosquitto_pub", *door, "-q", "1", "-t", f"press/{topic}", "-m", "5"], check=True, timeout=30
    )
    eventually(lambda: node.values(f"press/{topic}") == [5])


@pytest.mark.parametrize(
    ("listen", "path", "says"),
    [
        ('address = "0.0.0.0"\nanonymous = true\ntransport = "tls"', "anonymous", "anonymous clients on"),
        ('address = "0.0.0.0"\nanonymous = true\ntransport = "wss"', "anonymous", "anonymous clients on"),
        ('address = "0.0.0.0"\ntransport = "tcp"', "transport", "plaintext on"),
        ('address = "::"\ntransport = "ws"', "transport", "plaintext on"),
    ],
    ids=["anonymous", "anonymous web", "plaintext", "plaintext web"],
)
def test_an_open_door_beyond_loopback_is_refused_unless_asked_for_by_name(
    tmp_path: Path, listen: str, path: str, says: str
) -> None:
    user = '\n[[user]]\nname = "x"\n'
    node = RunningNode(tmp_path / "n", f'\n[[listen]]\nname = "open"\nport = 0\n{listen}\n{user}')
    done = headland("run", str(node.file))
    assert done.returncode == 2
    assert f"listen[1].{path}" in done.stderr
    assert says in done.stderr
    assert "insecure = true" in done.stderr
    node.file.write_text(node.file.read_text().replace(listen, f"{listen}\ninsecure = true"))
    with node:
        assert "open" in " ".join(node.ports)


# Bad input


def v5(*packets: bytes) -> bytes:
    return encode(Connect(name(), V5), V5) + b"".join(packets)


MALFORMED = {
    "no packet type": (b"\x00\x00", 0x81),
    "a quality of service that is none": (b"\x36\x05\x00\x01a\x00\x01", 0x81),
    "a length in five bytes": (b"\x30\xff\xff\xff\xff\x7f", 0x81),
    "a packet that is too large": (b"\x30\xff\xff\xff\x7f", 0x95),
    "a topic that is not UTF-8": (b"\x30\x05\x00\x02\xc3\x28\x00", 0x81),
    "a topic with U+0000": (b"\x30\x05\x00\x02a\x00\x00", 0x81),
    "a topic with a wildcard": (b"\x30\x06\x00\x03a/#\x00", 0x90),
    "a topic longer than its packet": (b"\x30\x03\x00\x09a", 0x81),
    "a packet identifier of zero": (b"\x32\x06\x00\x01a\x00\x00\x00", 0x82),
    "a subscription to nothing": (b"\x82\x03\x00\x01\x00", 0x82),
    "a subscription with wrong flags": (b"\x80\x07\x00\x01\x00\x00\x01a\x00", 0x81),
    "a malformed filter": (b"\x82\x09\x00\x01\x00\x00\x03a#b\x00", None),
    "a topic alias of zero": (encode(Publish("a", b"", properties=Properties(topic_alias=0)), V5), 0x82),
    "a topic alias that is too high": (
        encode(Publish("a", b"", properties=Properties(topic_alias=65)), V5),
        0x94,
    ),
    "an alias that was never set": (encode(Publish("", b"", properties=Properties(topic_alias=3)), V5), 0x82),
    "the same property twice": (b"\x30\x0e\x00\x01a\x0a\x02\x00\x00\x00\x01\x02\x00\x00\x00\x01", 0x82),
    "an unknown property": (b"\x30\x06\x00\x01a\x02\x7f\x00", 0x81),
    "a second CONNECT": (encode(Connect("again", V5), V5), 0x82),
    "a packet that only a server sends": (b"\x20\x03\x00\x00\x00", 0x82),
    "a ping with a body": (b"\xc0\x01\x00", 0x81),
}


@pytest.fixture
def bystander(node: RunningNode) -> Any:
    """Another client of the same listener, which must not notice."""
    with Paho(node.ports["mqtt:mqtt"], name()) as client:
        yield client
        topic = f"bystander/{uuid4().hex[:8]}"
        client.subscribe(topic)
        client.settle(client.publish(topic, b"1"))
        assert client.take(1)[0].payload == b"1"
        assert client.ended.empty()


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_packet_closes_its_own_connection_with_the_reason(
    node: RunningNode, bystander: Paho, case: str
) -> None:
    packet, reason = MALFORMED[case]
    with Raw(node.ports["mqtt:mqtt"]) as raw:
        raw.send(v5(packet))
        data = raw.rest() if reason is not None else raw.read(4)
    assert data[0] == 0x20
    if reason is not None:
        said = data[data[1] + 2 :]
        assert said[0] == 0xE0
        assert said[2] == reason


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        encode(Publish("a", b"1"), V5),
        b"\x10\xff\xff\xff\x7f",
        b"\x10\x10\x00\x04MQTX\x05\x02\x00\x3c\x00\x00\x01xyz",
        bytes(range(256)) * 40,
    ],
    ids=["HTTP", "TLS", "no CONNECT first", "a CONNECT of 256 MB", "another protocol", "noise"],
)
def test_what_does_not_begin_with_a_connect_is_closed(
    node: RunningNode, bystander: Paho, data: bytes
) -> None:
    with Raw(node.ports["mqtt:mqtt"]) as raw:
        raw.send(data)
        answer = raw.rest()
    assert not answer or answer[0] == 0x20


def test_who_says_nothing_or_half_a_packet_is_closed_in_time(node: RunningNode, bystander: Paho) -> None:
    with Raw(node.ports["mqtt:mqtt"]) as silent, Raw(node.ports["mqtt:mqtt"]) as half:
        half.send(encode(Connect("x", V5), V5)[:-2])
        assert silent.rest() == b""
        assert half.rest() == b""


def test_a_connection_cut_within_a_packet_leaves_nothing(
    node: RunningNode, bystander: Paho, topic: str
) -> None:
    packet = encode(Publish(topic, b"12345", 1, packet_id=1), V5)
    with Raw(node.ports["mqtt:mqtt"]) as raw:
        raw.send(v5(packet[:-1]))
        raw.read(4)
    bystander.settle(bystander.publish(topic, b"1"))
    eventually(lambda: node.values(topic) == [1])


def test_a_poison_payload_is_quarantined_and_acknowledged(node: RunningNode, topic: str) -> None:
    poison = b"\xff\xfe{not a reading"
    with Paho(node.ports["mqtt:mqtt"], name()) as client:
        client.settle(client.publish(topic, b"1"), client.publish(topic, poison), client.publish(topic, b"2"))
    eventually(lambda: node.values(topic) == [1, 2])
    kept = [one for one in node.ask("/v1/quarantine")["entries"] if one["topic"] == topic]
    assert [b64decode(one["payload"]) for one in kept] == [poison]
    assert kept[0]["reason"]


def test_extreme_numbers_arrive_as_they_are_or_are_quarantined(node: RunningNode, topic: str) -> None:
    sent = [b"9223372036854775807", b"-9223372036854775808", b"1e308", b"NaN", b"1e400", b"-0.0"]
    with Paho(node.ports["mqtt:mqtt"], name()) as client:
        client.settle(*(client.publish(topic, one) for one in sent))
    held = [one for one in node.ask("/v1/quarantine")["entries"] if one["topic"] == topic]
    eventually(lambda: len(node.values(topic)) + len(held) == len(sent))
    stored = node.values(topic)
    assert stored[:3] == [9223372036854775807, -9223372036854775808, 1e308]
