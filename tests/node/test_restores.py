"""Laws of a parent that went back: a relay's disk is replaced by an older copy of itself.

What its child still has is sent again; of what it has not, an ancestor's key table says whether it is held
above or lost, block by block, and both nodes' books say the same.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from tests.node.chain import SECOND, SEGMENT, Chain

from headland.link.contract import GapRange
from headland.link.verdicts import Question
from headland.simulation.disk import SimulatedDisk
from headland.simulation.wire import Weather
from headland.simulation.world import Host
from headland.vocabulary import Account, Reason

Block = tuple[str, bytes, int, int]


def _go_back(chain: Chain, host: Host, copied_s: float, *back_s: float) -> None:
    """At each of `back_s` a host starts again with its disk of `copied_s`."""
    copies = []
    chain.world.after(int(copied_s * SECOND), lambda: copies.append(host.disk.process_kill()))

    def back() -> None:
        host.crash()
        host.disk = copies[0].process_kill()
        host.restart()

    for at_s in back_s:
        chain.world.after(int(at_s * SECOND), back)


def _kept_back(chain: Chain, *back_s: float) -> list[int]:
    """What the relay has not sent on at the moments at which it goes back: that much may be nowhere."""
    kept_back: list[int] = []
    for at_s in back_s:
        chain.world.after(
            int(at_s * SECOND) - 1, lambda: kept_back.append(chain.total(chain.regional, Account.PENDING))
        )
    return kept_back


def _blocks(items: list[Question] | list[GapRange]) -> set[Block]:
    return {
        (item.origin, item.epoch, item.priority, k)
        for item in items
        for k in range(item.k_from, item.k_to + 1)
    }


def _asked(host: Host, which: Callable[[Question], bool]) -> set[Block]:
    assert host.node is not None
    return _blocks([item for item in host.node.parts.verdicts.questions() if item.booked and which(item)])


def _lost_at(cloud: Host) -> set[Block]:
    assert cloud.node is not None
    return _blocks(
        [
            item
            for item in cloud.node.parts.shelving.shelf.missing.ranges()
            if item.reason == Reason.LOST_BY_RESTORE
        ]
    )


def _at_rest(chain: Chain) -> None:
    assert all(device.done for device in chain.devices)
    assert chain.balanced()
    assert chain.total(chain.local, Account.PENDING) == 0
    assert chain.acknowledged() == chain.total(chain.local, Account.KEPT)


def _settled_alike(chain: Chain, restored: Host | None = None) -> None:
    """Child, restored parent and root say the same of every block that was in question."""
    local, regional, cloud = chain.local, restored or chain.regional, chain.cloud
    assert local.node is not None
    assert regional.node is not None
    assert cloud.node is not None
    for host in (local, regional):
        assert chain.total(host, Account.UNKNOWN_BY_RESTORE) == 0
        assert _asked(host, lambda item: not item.settled) == set()
    for account in (Account.HELD_ABOVE, Account.LOST_BY_RESTORE):
        assert chain.total(local, account) == chain.total(regional, account)
    assert chain.total(regional, Account.RESTORED) == chain.total(local, Account.HELD_ABOVE) + chain.total(
        local, Account.LOST_BY_RESTORE
    )
    lost = _asked(local, lambda item: item.lost)
    assert lost == _asked(regional, lambda item: item.lost) == _lost_at(cloud)
    held = _asked(local, lambda item: item.held)
    assert held == _asked(regional, lambda item: item.held)
    applied = cloud.node.parts.shelving.shelf.applied
    assert all(applied.has(*block) for block in held)
    assert not any(applied.has(*block) for block in lost)
    assert chain.total(local, Account.COMMITTED) == chain.total(regional, Account.RECEIVED)
    gone = chain.total(local, Account.LOST_BY_RESTORE) + chain.total(local, Account.SHED)
    assert chain.total(cloud, Account.APPLIED) + gone == chain.total(local, Account.KEPT)
    for host in (local, regional):
        assert host.node is not None
        children = host.node.parts.south.children.positions.children
        assert not any(child.verdicts for child in children.values()), "a verdict is still under way"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_a_relay_restored_within_its_childs_slack_nothing_is_lost(seed: int) -> None:
    """Kills: positions believed without comparison; a re-sent block applied twice."""
    chain = Chain(seed, readings=600)
    _go_back(chain, chain.regional, 1.5, 3.0)
    chain.run_s(60)
    _at_rest(chain)
    assert "parent_went_back" in chain.local.alarms
    assert chain.total(chain.cloud, Account.APPLIED) == chain.acknowledged() == 1800
    assert chain.total(chain.cloud, Account.DUPLICATE_RECEIVED) > 0
    for account in (Account.UNKNOWN_BY_RESTORE, Account.LOST_BY_RESTORE, Account.HELD_ABOVE):
        assert chain.total(chain.local, account) == 0
    _settled_alike(chain)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_what_a_restored_relay_had_sent_on_is_held_above_and_nothing_is_lost(seed: int) -> None:
    """Kills: unknown for ever; a verdict that reaches the child and not the books of the parent."""
    chain = Chain(seed, readings=2000, interval_ns=4_000_000, budget_bytes=8 * SEGMENT)
    kept_back = _kept_back(chain, 6.0)
    _go_back(chain, chain.regional, 1.0, 6.0)
    chain.run_s(90)
    _at_rest(chain)
    assert chain.total(chain.local, Account.HELD_ABOVE) > 0, "nothing had been reclaimed"
    assert chain.total(chain.local, Account.LOST_BY_RESTORE) <= sum(kept_back)
    _settled_alike(chain)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("crashes", [False, True])
def test_what_nobody_has_is_lost_and_named_block_by_block_on_both_nodes(seed: int, crashes: bool) -> None:
    """Kills: a verdict on the whole range of which a part is held; one that a crash on the way forgets.

    The way to the cloud is cut before the relay goes back: what the child has reclaimed by then is partly in
    the cloud and partly nowhere.
    """
    chain = Chain(seed, readings=2000, interval_ns=4_000_000, budget_bytes=8 * SEGMENT)
    world = chain.world
    world.after(3 * SECOND, lambda: world.cut("s/regional", "s/cloud", Weather.REFUSED))
    _go_back(chain, chain.regional, 1.0, 7.0)
    world.after(9 * SECOND, lambda: world.cut("s/regional", "s/cloud", Weather.UP))
    if crashes:
        for host in chain.hosts:
            for at_ms in (7_600, 9_000, 9_400, 9_900, 10_300, 10_800, 11_500):

                def crash(host: Host = host) -> None:
                    host.crash()
                    host.restart()

                world.after((at_ms + world.uniform(0, 400)) * 1_000_000, crash)
    chain.run_s(120)
    _at_rest(chain)
    assert chain.total(chain.local, Account.HELD_ABOVE) > 0
    assert chain.total(chain.local, Account.LOST_BY_RESTORE) > 0
    _settled_alike(chain)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_relay_that_goes_back_twice_asks_again_and_books_once(seed: int) -> None:
    """Kills: what is unknown, or settled, booked unknown a second time when its tombstone travels again."""
    chain = Chain(seed, readings=2000, interval_ns=4_000_000, budget_bytes=8 * SEGMENT)
    kept_back = _kept_back(chain, 5.0, 5.5, 8.0)
    _go_back(chain, chain.regional, 1.0, 5.0, 5.5, 8.0)
    chain.run_s(90)
    _at_rest(chain)
    assert chain.total(chain.local, Account.HELD_ABOVE) > 0, "nothing had been reclaimed"
    assert chain.total(chain.local, Account.LOST_BY_RESTORE) <= sum(kept_back)
    _settled_alike(chain)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_still_under_way_above_a_restored_relay_is_held_in_the_end(seed: int) -> None:
    """Kills: books at a relay that did not go back; a "lost" that is final although the blocks arrive later.

    Four tiers; the cloud answers "later" for a while before the lower relay goes back, so that what it had
    passed on waits in the upper one for another attempt, and the questions overtake it.
    """
    chain = Chain(seed, readings=1500, interval_ns=4_000_000, budget_bytes=8 * SEGMENT, start=False)
    world = chain.world
    site = Host(
        world,
        "s/site",
        msgspec.structs.replace(chain.regional.settings, name="s/site"),
        "s/regional",
        SimulatedDisk(),
    )
    chain.local.parent = "s/site"
    chain.hosts = (*chain.hosts, site)

    def refuse(refusing: bool) -> None:
        assert chain.cloud.node is not None
        chain.cloud.node.parts.south.children.refusing = refusing

    world.after(3 * SECOND, lambda: refuse(True))
    world.after(5 * SECOND, lambda: refuse(False))
    _go_back(chain, site, 1.0, 6.0)
    chain.begin()
    chain.run_s(18)
    early = chain.total(chain.local, Account.LOST_BY_RESTORE)
    assert early == chain.total(site, Account.LOST_BY_RESTORE) > 0, "no question overtook what was under way"
    chain.run_s(150)
    _at_rest(chain)
    assert chain.total(chain.local, Account.HELD_ABOVE) > early
    assert chain.total(chain.local, Account.LOST_BY_RESTORE) == 0
    _settled_alike(chain, site)
    for account in (Account.RESTORED, Account.UNKNOWN_BY_RESTORE, Account.HELD_ABOVE):
        assert chain.total(chain.regional, account) == 0
