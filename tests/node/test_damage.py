"""Laws of damaged media under a node that goes on."""

from __future__ import annotations

import pytest
from tests.node.chain import SECOND, SEGMENT, Chain

from headland.journal.segment import path_of
from headland.simulation.wire import Weather
from headland.vocabulary import Account


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_damaged_block_that_the_parent_may_have_does_not_stop_the_spill(seed: int) -> None:
    """Kills: asking for a tombstone again and again where the outcome is unknown (an alarm a commit, for ever).

    Blocks are presumed sent after a restart, the parent is away, and the segment that holds them is damaged
    before it has to be emptied.
    """
    chain = Chain(seed, readings=2000, interval_ns=4_000_000)
    world, local = chain.world, chain.local
    world.after(SECOND // 10, lambda: world.cut("s/local", "s/regional", Weather.BLACK_HOLE))
    world.after(SECOND, local.crash)
    world.after(SECOND + 1, lambda: local.restart(1000))

    def damage() -> None:
        assert local.node is not None
        path = path_of(local.node.parts.journal.segments()[0].id)
        for offset in range(SEGMENT // 4, SEGMENT, 64):
            if offset < local.disk.size(path):
                local.disk.flip(path, offset)

    world.after(SECOND + SECOND // 20, damage)
    world.after(20 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))
    chain.run_s(90)
    assert local.node is not None
    damaged = local.alarms.count("corrupt")
    assert 0 < damaged < 2_000, "no damage was met, or the spill stood still"
    assert local.node.parts.shelving.spilled_blocks > 0
    assert len(local.node.parts.journal.segments()) < 12
    assert all(device.done for device in chain.devices)
    gone = chain.total(local, Account.CORRUPT)
    assert chain.total(chain.cloud, Account.APPLIED) + gone == chain.total(local, Account.KEPT)
    assert chain.total(local, Account.PENDING) == 0
    assert chain.balanced()
