"""Laws of damaged media under a node that goes on."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.node.chain import SECOND, SEGMENT, Chain

from headland.journal.outbox_files import FileInfo
from headland.journal.outbox_files import path_of as files_path
from headland.journal.plan import SyncDir, Unlink
from headland.journal.segment import path_of
from headland.node import events as ev
from headland.node import query
from headland.simulation.wire import Weather
from headland.simulation.world import Host
from headland.storage.applied import RangeSet
from headland.vocabulary import Account, Reason, StorageDamage


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


def _files(host: Host) -> list[tuple[str, FileInfo]]:
    """Outbox files of a node (path, what is noted), oldest first."""
    assert host.node is not None
    tables = host.node.parts.shelving.files.by_directory.values()
    return [(files_path(one.directory, info.number), info) for one in tables for info in one.files()]


def _in_the_middle(host: Host) -> None:
    """Flip bytes of three records in the second quarter of every file; valid records follow."""
    for path, info in _files(host):
        for offset in (info.bytes // 4, info.bytes // 4 + 1500, info.bytes // 2):
            host.disk.flip(path, offset)


def _a_third(host: Host) -> None:
    """A stretch of many records is zeros."""
    for path, info in _files(host):
        host.disk.overwrite(path, info.bytes // 3, bytes(info.bytes // 3))


def _vanished(host: Host) -> None:
    for path, _ in _files(host)[:2]:
        host.disk.apply(Unlink(path))
        host.disk.apply(SyncDir(path.rpartition("/")[0]))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("restart", [False, True], ids=["this epoch", "an old epoch"])
@pytest.mark.parametrize("hurt", [_in_the_middle, _a_third, _vanished])
def test_what_cannot_be_read_of_a_backlog_in_files_is_named_corrupt_and_the_rest_arrives(
    seed: int, restart: bool, hurt: Callable[[Host], None]
) -> None:
    """Kills: a lane that waits for ever for a page; valid records behind damage that are given up with it."""
    chain = Chain(seed, readings=1500, interval_ns=2_000_000)
    world, local = chain.world, chain.local
    world.after(SECOND // 2, lambda: world.cut("s/local", "s/regional", Weather.REFUSED))
    noted: list[int] = []

    def damage() -> None:
        hurt(local)
        noted.append(sum(info.blocks for _, info in _files(local)))
        if restart:
            local.crash()
            local.restart()

    world.after(8 * SECOND, damage)
    world.after(12 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))
    chain.run_s(60)
    assert noted[0] > 20, "nothing was spilled: the law was not tried"
    assert "corrupt" in local.alarms
    assert all(device.done for device in chain.devices)
    gone = chain.total(local, Account.CORRUPT)
    assert gone > 0
    assert chain.total(chain.cloud, Account.APPLIED) + gone == chain.total(local, Account.KEPT) == 4500
    assert chain.total(local, Account.PENDING) == 0
    assert chain.total(local, Account.COMMITTED) == 4500 - gone
    assert chain.balanced()
    assert chain.cloud.node is not None
    gaps = chain.cloud.node.parts.shelving.shelf.missing.ranges()
    assert {gap.reason for gap in gaps} == {Reason.CORRUPT}
    assert sum(gap.readings for gap in gaps) == gone
    applied = chain.cloud.node.parts.shelving.shelf.applied
    for identity, numbers in applied.items():
        named = RangeSet()
        for gap in gaps:
            if (gap.origin, gap.epoch, gap.priority) == identity:
                for k in range(gap.k_from, gap.k_to + 1):
                    named.add(k)
        assert numbers.gaps() == named.ranges()


@pytest.mark.parametrize("gone", [False, True])
def test_a_damaged_file_of_a_store_costs_what_is_in_it_and_the_answer_says_so(gone: bool) -> None:
    """Kills: a question that is not answered at all; an answer that hides what it could not read."""
    chain = Chain(4, devices=2, readings=1500, interval_ns=2_000_000)
    chain.run_s(60)
    cloud = chain.cloud
    assert cloud.node is not None
    ((path, info),) = _files(cloud)
    question = query.Question(kind=0)
    where = query.plan(cloud.node)
    assert where is not None
    names = cloud.node.parts.names
    whole = json.loads(query.answer(cloud.disk, where, names, question, []))
    assert (len(whole["rows"]), whole.get("damaged")) == (3000, None)
    if gone:
        cloud.disk.apply(Unlink(path))
    else:
        cloud.disk.flip(path, info.bytes // 2)
    with pytest.raises((StorageDamage, OSError)):
        query.answer(cloud.disk, where, names, question)
    rest = json.loads(query.answer(cloud.disk, where, names, question, []))
    lost = 3000 - len(rest["rows"])
    assert lost == info.readings if gone else 0 < lost < 100
    assert len(rest["damaged"]) == 1
    assert path in rest["damaged"][0]
    cloud.node.handle(ev.Unreadable(rest["damaged"][0]), cloud.now())
    assert cloud.node.alarms[-1][1] == "corrupt"
    cloud.crash()
    cloud.restart()
    chain.run_s(65)
    assert cloud.node is not None, "a root starts without a file of its store"
