"""Laws of changed rights: whoever is taken away, or may less, loses it at once, on disk as in memory."""

from __future__ import annotations

import pytest
from tests.mqtt.client import World, connected

from headland.mqtt.packets import Ack, Disconnect, PacketType, Properties, Publish, Subscription, Will
from headland.mqtt.reasons import Reason

TEN_MINUTES = {"clean": False, "session_expiry_s": 600}


def test_a_user_who_is_gone_is_closed_without_its_will_and_its_session_ends() -> None:
    world = World()
    watcher = connected(world, "watcher")
    watcher.subscribe(Subscription("#", 1))
    client = connected(world, "c", will=Will("w", b"gone"), **TEN_MINUTES)
    client.subscribe(Subscription("t", 1))
    world.door.gone.add("c")
    world.judge_again()
    last = client.got[-1]
    assert isinstance(last, Disconnect)
    assert last.reason == Reason.NOT_AUTHORIZED
    assert client.closed == "not_authorised"
    assert watcher.got == [], "no will"
    assert world.broker.sizes()["sessions"] == 1
    assert not watcher.closed
    world.crash()
    assert world.broker.sizes()["sessions"] == 0, "the watcher's did not last, the other has ended"


def test_the_session_of_a_user_who_is_gone_ends_while_it_is_away_and_its_delayed_will_never_comes() -> None:
    world = World()
    watcher = connected(world, "watcher")
    watcher.subscribe(Subscription("w", 1))
    client = connected(
        world, "c", will=Will("w", b"gone", properties=Properties(will_delay_s=30)), **TEN_MINUTES
    )
    client.drop()
    world.door.gone.add("c")
    world.judge_again()
    world.pass_time(700)
    assert watcher.got == []
    assert world.broker.sizes()["sessions"] == 1


def test_a_session_whose_user_was_taken_away_while_the_node_was_down_ends_at_its_start() -> None:
    world = World()
    client = connected(world, "c", will=Will("w", b"gone"), **TEN_MINUTES)
    client.subscribe(Subscription("t", 1))
    world.door.gone.add("c")
    world.crash()
    assert world.broker.sizes()["sessions"] == 0
    assert world.accepted == []


@pytest.mark.parametrize("away", [False, True])
def test_a_subscription_that_is_no_longer_allowed_goes_with_what_is_queued_of_it(away: bool) -> None:
    world = World()
    client = connected(world, "c", **TEN_MINUTES)
    client.subscribe(Subscription("secret/#", 1), Subscription("open/#", 1))
    if away:
        client.drop()
        publisher = connected(world, "p")
        for topic in ("secret/1", "open/1", "secret/2"):
            publisher.publish(topic, b"x", qos=1)
    world.door.forbidden = ("secret",)
    world.judge_again()
    assert client.closed == ("" if away else "not_authorised")
    assert world.broker.counters.dropped_not_authorised == (2 if away else 0)
    for _ in range(2):
        back = world.client("c")
        assert back.connect(**TEN_MINUTES).session_present
        connected(world, "p").publish("secret/3", b"x", qos=1)
        got = [packet.topic for packet in back.read() if isinstance(packet, Publish)]
        assert got == (["open/1"] if away else [])
        world.crash()


def test_rights_that_did_not_shrink_leave_a_connection_alone() -> None:
    world = World()
    client = connected(world, "c", will=Will("w", b"x"), **TEN_MINUTES)
    client.subscribe(Subscription("open/#", 1))
    client.publish("other", qos=1)
    client.read()
    world.door.forbidden = ("other",)
    world.judge_again()
    assert not client.closed
    client.publish("other", qos=1)
    assert client.one() == Ack(PacketType.PUBACK, 1, Reason.NOT_AUTHORIZED)


def test_a_will_that_may_be_published_no_more_is_not() -> None:
    world = World()
    client = connected(world, "c", will=Will("w", b"gone"), **TEN_MINUTES)
    world.door.forbidden = ("w",)
    world.judge_again()
    assert client.closed == "not_authorised"
    assert world.broker.sizes()["sessions"] == 1, "the session stays"
    world.crash()
    world.pass_time(1)
    assert world.accepted == []


def test_another_password_closes_the_connections_of_its_user_only() -> None:
    world = World()
    client, other = connected(world, "c", **TEN_MINUTES), connected(world, "d")
    world.judge_again("c")
    assert client.closed == "not_authorised"
    assert not other.closed
    assert world.client("c").connect(**TEN_MINUTES).session_present
