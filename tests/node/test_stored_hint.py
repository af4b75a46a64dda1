"""The cloud's hint reaches the device's parent through a relay, and orders what is deleted."""

from __future__ import annotations

from tests.node.chain import Chain
from tests.outbox.desk import Desk

from headland.line.outbox import Outbox
from headland.simulation.wire import Weather
from headland.simulation.world import Host
from headland.vocabulary import Account, Priority


def _outbox(host: Host) -> Outbox:
    assert host.node is not None
    assert host.node.parts.north.outbox is not None
    return host.node.parts.north.outbox


def _behind(host: Host) -> int:
    """Positions that are answered and not said to be stored."""
    outbox = _outbox(host)
    return sum(
        max(0, stream.acked - outbox.state.stored.get(stream.key, 0)) for stream in outbox.state.streams()
    )


def test_a_relay_passes_on_what_the_cloud_has_applied_and_no_more() -> None:
    """Kills: a relay that calls its own commit the cloud's; a hint that never comes."""
    chain = Chain(1, devices=1, readings=1200)
    chain.run_s(4)
    chain.world.cut("s/regional", "s/cloud", Weather.BLACK_HOLE)
    chain.run_s(14)
    assert chain.total(chain.local, Account.PENDING) == 0, "the relay has taken everything"
    assert _behind(chain.local) > 0
    stored = sum(_outbox(chain.local).state.stored.values())
    assert stored > 0
    assert chain.total(chain.cloud, Account.APPLIED) < chain.total(chain.local, Account.COMMITTED)
    chain.world.cut("s/regional", "s/cloud", Weather.UP)
    chain.run_s(40)
    assert _behind(chain.local) == _behind(chain.regional) == 0
    assert chain.total(chain.cloud, Account.APPLIED) == chain.total(chain.local, Account.COMMITTED)


def test_of_answered_files_those_that_the_cloud_has_stored_come_first() -> None:
    """Kills: the only copy below a relay deleted while a copy of the cloud's is kept."""
    desk = Desk()
    for priority in (Priority.HIGH, Priority.NORMAL):
        for _ in range(3):
            desk.keep(priority)
        desk.commit()
        desk.spill()
    desk.up()
    desk.send()
    high, normal = desk.stream(Priority.HIGH), desk.stream(Priority.NORMAL)
    for stream in (high, normal):
        desk.answer(stream.key, stream.tail, chain=stream.chain_at(stream.tail))
    desk.commit()
    first, second = desk.outbox.files()
    assert first < second
    desk.outbox.state.stored_up_to(normal.key, normal.tail)
    assert list(desk.outbox.files().items()) == [(second, True), (first, True)]
    desk.outbox.state.stored_up_to(high.key, high.tail - 1)
    assert list(desk.outbox.files()) == [second, first]
    desk.outbox.state.stored_up_to(high.key, high.tail)
    assert list(desk.outbox.files()) == [first, second]
