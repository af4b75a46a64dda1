"""Laws of the backlog on disk: what leaves the journal is still there, after a crash as before it."""

from __future__ import annotations

import pytest
from tests.node.chain import SECOND, Chain

from headland.node import events as ev
from headland.node.budget import Budget
from headland.node.core import Node
from headland.node.spilling import Phase
from headland.simulation.wire import Weather
from headland.vocabulary import Account, Instant


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_backlog_that_was_spilled_in_an_outage_and_crashed_arrives_whole(seed: int) -> None:
    """Kills: blocks under way at the spill keep naming the recycled segment after a restart."""
    chain = Chain(seed, readings=1500, interval_ns=2_000_000)
    world, local = chain.world, chain.local
    world.after(SECOND // 2, lambda: world.cut("s/local", "s/regional", Weather.REFUSED))
    world.after(12 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))
    spilled = []

    def crash() -> None:
        assert local.node is not None
        spilled.append(local.node.parts.shelving.spilling.blocks)
        local.crash()
        local.restart()

    world.after(8 * SECOND, crash)
    chain.run_s(60)
    assert spilled[0] > 0, "nothing was spilled: the law was not tried"
    assert chain.acknowledged() == 4500
    assert chain.total(local, Account.COMMITTED) == chain.total(local, Account.KEPT) == 4500
    assert chain.total(chain.cloud, Account.APPLIED) == 4500
    assert chain.balanced()
    assert local.alarms == []


def test_a_root_moves_what_it_stores_into_files_and_forgets_nothing() -> None:
    """Kills: a recycled segment whose blocks were not copied to the store."""
    chain = Chain(4, devices=2, readings=1500, interval_ns=2_000_000)
    chain.run_s(60)
    cloud = chain.cloud.node
    assert cloud is not None
    assert cloud.parts.shelving.spilling.blocks > 0
    stored = sum(info.readings for info in cloud.parts.shelving.files.by_directory["store"].files())
    assert 0 < stored <= 3_000
    assert chain.total(chain.cloud, Account.APPLIED) == 3_000
    assert len(cloud.parts.journal.segments()) < 12


def test_a_used_up_disk_budget_stops_the_intake_and_not_the_way_north() -> None:
    """Kills: acknowledging into a full budget; a node that never takes anything in again."""
    chain = Chain(5, devices=2, readings=1500, interval_ns=2_000_000, budget_bytes=8 << 14)
    world, local = chain.world, chain.local
    world.cut("s/local", "s/regional", Weather.REFUSED)
    world.after(40 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))
    chain.run_s(39)
    assert local.node is not None
    assert local.node.full or chain.total(local, Account.SHED) > 0
    chain.run_s(200)
    assert chain.balanced()
    shed = chain.total(local, Account.SHED)
    assert chain.total(chain.cloud, Account.APPLIED) + shed == chain.total(local, Account.KEPT)
    assert all(device.done for device in chain.devices)


def test_what_is_remembered_of_answered_files_is_bounded_whatever_the_disk_may_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kills: a node whose memory grows for years, until its disk budget makes it give files back."""
    monkeypatch.setattr("headland.node.budget.ANSWERED_RUNS_MAX", 4)
    chain = Chain(6, readings=6000, interval_ns=4_000_000)
    world, local = chain.world, chain.local
    most = []

    def look() -> None:
        assert local.node is not None
        assert local.node.parts.north.outbox is not None
        most.append(local.node.parts.north.outbox.answered_runs())

    world.after(SECOND, lambda: world.cut("s/local", "s/regional", Weather.REFUSED))
    world.after(8 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))
    for second in (10, 15, 23):
        world.after(second * SECOND, look)
    chain.run_s(40)
    assert local.node is not None
    assert local.node.parts.shelving.spilling.blocks > 0
    assert most[-1] <= 4 + 4, most
    assert chain.total(chain.cloud, Account.APPLIED) == chain.total(local, Account.KEPT) == 18_000
    assert chain.balanced()
    assert local.alarms == []


def test_a_disk_that_others_fill_stops_the_intake_while_the_way_north_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kills: taking in until no commit fits, so that the parent's answers cannot be written either."""
    chain = Chain(5, devices=2, readings=1500, interval_ns=2_000_000)
    world, local = chain.world, chain.local
    feed, room = local.feed, [1 << 40]

    def told(event: ev.Event) -> None:
        feed(ev.Committed(event.n, room[0]) if isinstance(event, ev.Committed) else event)

    def full() -> bool:
        return local.node is not None and local.node.full

    monkeypatch.setattr(local, "feed", told)
    world.after(SECOND, lambda: world.cut("s/local", "s/regional", Weather.REFUSED))
    world.after(2 * SECOND, lambda: room.__setitem__(0, 1 << 20))
    world.after(10 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))
    chain.run_s(30)
    assert full()
    kept = chain.total(local, Account.KEPT)
    assert 0 < kept < 3_000
    assert chain.total(local, Account.COMMITTED) == kept
    assert local.node is not None
    assert [kind for _, kind, _ in local.node.alarms] == ["disk_budget"]
    room[0] = 1 << 40
    chain.run_s(60)
    assert not full()
    assert chain.total(local, Account.SHED) == 0
    assert chain.total(chain.cloud, Account.APPLIED) == chain.total(local, Account.KEPT) == 3_000
    assert chain.balanced()


@pytest.mark.parametrize("seed", [2, 4])
def test_a_file_that_is_being_appended_to_is_not_given_back(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills: room made at the worst moment; the note then names a file that is gone.

    The budget's look is once a second, a write takes milliseconds: here every look meets one.
    """
    chain = Chain(seed, readings=3000, interval_ns=2_000_000)
    world, local = chain.world, chain.local
    looks: list[set[tuple[str, int]]] = []
    usual = Budget.committed

    def committed(self: Budget, node: Node, now: Instant) -> None:
        usual(self, node, now)
        spilling = node.parts.shelving.spilling
        if node is local.node and spilling.phase is Phase.WRITE and world.now_ns > 3 * SECOND:
            looks.append(set(node.parts.shelving.files.growing))
            self.reclaim(node, 1 << 40, shed=False)

    monkeypatch.setattr(Budget, "committed", committed)
    world.after(int(2.5 * SECOND), lambda: world.cut("s/local", "s/regional", Weather.REFUSED))
    world.after(20 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))

    def crash() -> None:
        local.crash()
        local.restart()

    world.after(15 * SECOND, crash)
    chain.run_s(120)
    assert any(looks), "no spill met a look: the law was not tried"
    assert chain.total(chain.cloud, Account.APPLIED) >= chain.acknowledged() > 0
    assert chain.total(local, Account.PENDING) == 0
    assert local.alarms == []
