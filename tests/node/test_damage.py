"""Laws of damaged media under a node that goes on."""

from __future__ import annotations

import pytest
from tests.node.chain import SECOND, SEGMENT, Chain

from headland.journal.segment import path_of
from headland.simulation.wire import Weather
from headland.simulation.world import Host
from headland.vocabulary import Account


def _damage_first_segment(host: Host) -> None:
    assert host.node is not None
    path = path_of(host.node.parts.journal.segments()[0].id)
    for offset in range(SEGMENT // 4, SEGMENT, 64):
        if offset < host.disk.size(path):
            host.disk.flip(path, offset)


def _went_on(chain: Chain) -> None:
    local = chain.local
    assert local.node is not None
    assert 0 < local.alarms.count("corrupt") < 2_000, "no damage was met, or the spill stood still"
    assert local.node.parts.shelving.spilling.blocks > 0
    assert len(local.node.parts.journal.segments()) < 12
    assert all(device.done for device in chain.devices)
    gone = chain.total(local, Account.CORRUPT)
    assert chain.total(chain.cloud, Account.APPLIED) + gone == chain.total(local, Account.KEPT)
    assert chain.total(local, Account.PENDING) == 0
    assert chain.balanced()


@pytest.mark.parametrize("seed", [1, 2])
def test_damage_to_blocks_that_were_answered_does_not_stop_the_spill(seed: int) -> None:
    """Kills: asking for a tombstone again and again that may not be made (an alarm a commit, for ever)."""
    chain = Chain(seed, readings=1500, interval_ns=4_000_000)
    chain.world.after(SECOND, lambda: _damage_first_segment(chain.local))
    chain.run_s(60)
    _went_on(chain)
    assert chain.total(chain.local, Account.CORRUPT) == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_damage_to_blocks_that_the_parent_may_have_does_not_stop_the_spill(seed: int) -> None:
    """Kills: a tombstone for a block of unknown outcome.

    Blocks are presumed sent after a restart, the parent is away, and the segment that holds them is damaged
    before it has to be emptied.
    """
    chain = Chain(seed, readings=2000, interval_ns=4_000_000)
    world, local = chain.world, chain.local
    world.after(SECOND // 10, lambda: world.cut("s/local", "s/regional", Weather.BLACK_HOLE))
    world.after(SECOND, local.crash)
    world.after(SECOND + 1, lambda: local.restart(1000))
    world.after(SECOND + SECOND // 20, lambda: _damage_first_segment(local))
    world.after(20 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))
    chain.run_s(90)
    _went_on(chain)
