"""A data directory that is copied while its node runs: copy and original never tell a reading twice."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from tests.node.chain import MS, SECOND, Chain

from headland.line.filtering.summary import Summary
from headland.line.outbox.settings import Sync
from headland.line.rules import LineRules, SeriesRule
from headland.simulation.disk import SimulatedDisk
from headland.simulation.laws import read_root
from headland.simulation.wire import Weather
from headland.simulation.world import Host
from headland.vocabulary import Account, Priority, RowKind

COPIED_NS = 3 * SECOND + 300 * MS


WINDOWS = LineRules(default=SeriesRule(name="all", filter=Summary(window_s=1.0, lateness_s=1.0, hold_s=5.0)))


def chain_of_intervals(seed: int, rules: LineRules | None = None) -> Chain:
    """Blocks are sealed every second, so that at most moments some rows are in none."""
    chain = Chain(seed, readings=600, start=False)
    if rules is not None:
        chain.local.settings = msgspec.structs.replace(chain.local.settings, line=rules)
    for host in chain.hosts:
        outbox = host.settings.outbox
        every = [msgspec.structs.replace(one, sync=Sync.EVERY, sync_every_s=1.0) for one in outbox.classes]
        replaced = msgspec.structs.replace(outbox, classes=tuple(every))
        host.settings = msgspec.structs.replace(host.settings, outbox=replaced)
    chain.begin()
    return chain


def copied(chain: Chain) -> SimulatedDisk:
    """The disk of `local` as it is now, with rows that no block holds."""
    assert chain.local.node is not None
    assert len(chain.local.node.parts.sealing.open[Priority.NORMAL]), "nothing is unsealed: not tried"
    return chain.local.disk.process_kill()


def clone_of(chain: Chain) -> Host:
    """A second machine that starts from a copy."""
    local = chain.local
    clone = Host(chain.world, f"{local.name}#clone", local.settings, local.parent, copied(chain))
    clone.start()
    return clone


def take_away(chain: Chain, clone: Host) -> None:
    clone.crash()
    clone.life += 1
    del chain.world.hosts[clone.name]


def told(chain: Chain) -> Counter[tuple[str, int]]:
    """How often the root tells each reading."""
    return Counter((row.series, row.ts // MS) for row in read_root(chain.cloud).rows)


def acknowledged(chain: Chain) -> set[tuple[str, int]]:
    return {(one.series, one.ts // MS) for device in chain.devices for one in device.log if one.acked}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_node_restored_from_a_copy_of_itself_running_seals_nothing_twice(seed: int) -> None:
    """Kills: rows that no block held, sealed once more under the new epoch."""
    chain = chain_of_intervals(seed)
    copies: list[SimulatedDisk] = []
    chain.world.after(COPIED_NS, lambda: copies.append(copied(chain)))

    def back() -> None:
        chain.local.crash()
        chain.local.disk = copies[0]
        chain.local.restart()

    chain.world.after(5 * SECOND + 500 * MS, back)
    chain.run_s(40)
    assert max(told(chain).values()) == 1
    assert chain.total(chain.cloud, Account.UNAPPLIED) > 0, (
        "the copy had nothing of the original's: not tried"
    )
    assert chain.balanced()


@pytest.mark.parametrize("seed", [7, 8])
def test_windows_that_were_open_in_a_copy_are_told_under_the_key_of_the_original(seed: int) -> None:
    """Kills: readings that are counted in two windows, or in none that is shown."""
    chain = chain_of_intervals(seed, WINDOWS)
    copies: list[SimulatedDisk] = []
    chain.world.after(COPIED_NS, lambda: copies.append(chain.local.disk.process_kill()))

    def back() -> None:
        assert chain.total(chain.local, Account.HELD) == 0, "what the original counts is not told yet"
        chain.local.crash()
        chain.local.disk = copies[0]
        chain.local.restart()

    chain.world.after(20 * SECOND, back)
    chain.run_s(60)
    counted: dict[tuple[object, ...], tuple[int, bool, int]] = {}
    parts = 0
    for row in read_root(chain.cloud).rows:
        if row.kind == RowKind.WINDOW and isinstance(row.value, bytes):
            told = msgspec.msgpack.decode(row.value)
            key = (row.series, *(told[name] for name in ("rule", "version", "since", "start")))
            weight = told["revision"], told["complete"], told["count"]
            parts += key in counted
            counted[key] = max(weight, counted.get(key, weight))
    assert parts > 0, "the copy had no window open: not tried"
    assert sum(count for *_, count in counted.values()) == len(acknowledged(chain))
    assert chain.balanced()


def test_a_copy_that_starts_beside_its_original_is_refused_and_the_original_is_not_disturbed() -> None:
    """Kills: a copy that calls itself the successor of the connected one, and takes its place."""
    chain = chain_of_intervals(4)
    clones: list[Host] = []
    chain.world.after(COPIED_NS, lambda: clones.append(clone_of(chain)))
    chain.world.after(12 * SECOND, lambda: take_away(chain, clones[0]))
    chain.run_s(40)
    regional = chain.regional.node
    assert regional is not None
    assert "clone" in [kind for _, kind, _ in regional.alarms]
    assert "child_went_back" not in [kind for _, kind, _ in regional.alarms]
    assert told(chain) == Counter(dict.fromkeys(acknowledged(chain), 1))
    assert chain.total(chain.cloud, Account.UNAPPLIED) == 0
    assert chain.balanced()


@pytest.mark.parametrize("seed", [5, 6])
def test_of_an_original_that_comes_after_its_copy_every_reading_is_told_once(seed: int) -> None:
    """Kills: a block that the original went on filling, given up because the copy's came first."""
    chain = chain_of_intervals(seed)
    clones: list[Host] = []
    chain.world.after(3 * SECOND, lambda: chain.world.cut("s/local", "s/regional", Weather.REFUSED))
    chain.world.after(COPIED_NS, lambda: clones.append(clone_of(chain)))
    chain.world.after(9 * SECOND, lambda: take_away(chain, clones[0]))
    chain.world.after(10 * SECOND, lambda: chain.world.cut("s/local", "s/regional", Weather.UP))
    chain.run_s(60)
    assert chain.total(chain.cloud, Account.DUPLICATE_RECEIVED) > 0, "the copy brought nothing: not tried"
    assert told(chain) == Counter(dict.fromkeys(acknowledged(chain), 1))
    assert chain.balanced()
