"""A client whose password takes long to check waits alone."""

from __future__ import annotations

import pytest
from tests.mqtt.client import Client, World, connected

from headland.mqtt import Action, Claim, Close, Continue, MqttConfig, Pause, Send, Verify
from headland.mqtt.encoding import encode
from headland.mqtt.packets import V5, V311, Ack, Connack, Connect, PacketType, Publish


def _connect(name: str, version: int = V5) -> bytes:
    return encode(Connect(name, version, True, username=name, password=b"p"), version)


def _asked(actions: list[Action]) -> Verify:
    (one,) = (action for action in actions if isinstance(action, Verify))
    return one


def _waiting(world: World, version: int = V5, behind: bytes = b"") -> tuple[Client, Verify]:
    client = world.client("slow", version)
    data = _connect("slow", version) + behind
    client.watcher.heard(data)
    actions = world.broker.received([(client.number, data)], world.now, world.draft)
    assert Pause(client.number) in actions
    assert not [action for action in actions if isinstance(action, Send | Close)]
    return client, _asked(actions)


@pytest.mark.parametrize("version", [V5, V311])
def test_it_is_let_in_when_its_password_was_right_and_what_it_sent_meanwhile_is_taken(version: int) -> None:
    """Kills: bytes behind a CONNECT that are lost; a client that is read no more."""
    world = World()
    publish = encode(Publish("t", b"1", 1, packet_id=4), version)
    client, asked = _waiting(world, version, publish[:3])
    client.watcher.heard(publish[3:])
    assert world.broker.received([(client.number, publish[3:])], world.now, world.draft) == []
    assert world.accepted == []
    actions = world.broker.proven(client.number, asked.claim, True, world.now, world.draft)
    assert Continue(client.number) in actions
    world.perform(actions)
    world.settle()
    connack, puback = client.read()
    assert isinstance(connack, Connack)
    assert connack.reason == 0
    assert puback == Ack(PacketType.PUBACK, 4)
    assert [one[:3] for one in world.accepted] == [("slow", "t", b"1")]


@pytest.mark.parametrize("version", [V5, V311])
def test_it_is_refused_when_its_password_was_wrong_and_nothing_of_it_is_taken(version: int) -> None:
    """Kills: publishes of somebody who has proven nothing."""
    world = World()
    client, asked = _waiting(world, version, encode(Publish("t", b"1"), version))
    world.perform(world.broker.proven(client.number, asked.claim, False, world.now, world.draft))
    world.settle()
    answer = client.one()
    assert isinstance(answer, Connack)
    assert answer.reason != 0
    assert client.closed
    assert world.accepted == []


def test_others_go_on_while_it_waits() -> None:
    """Kills: a check that everybody waits for."""
    world = World()
    other = connected(world, "other")
    _waiting(world)
    other.publish("t", qos=1, packet_id=1)
    assert other.read() == [Ack(PacketType.PUBACK, 1)]


def test_it_may_be_gone_when_the_answer_comes_and_is_not_closed_for_its_silence_before() -> None:
    world = World()
    client, asked = _waiting(world)
    world.pass_time(120)
    assert not client.closed
    client.drop()
    assert world.broker.proven(client.number, asked.claim, True, world.now, world.draft) == []
    assert world.broker.sizes()["connections"] == 0


def test_what_it_sends_meanwhile_is_bounded() -> None:
    world = World(MqttConfig(partial_bytes_max=100_000))
    client, asked = _waiting(world)
    for _ in range(20):
        client.send_bytes(bytes(10_000))
    assert client.closed
    assert world.broker.proven(client.number, asked.claim, True, world.now, world.draft) == []


def test_no_claim_shows_its_password() -> None:
    assert "secret" not in repr(Verify(1, Claim("who", b"secret", "")))
