"""Laws of what is remembered of blocks in order to tell a repeat from a fork."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from headland.storage import Digests
from headland.storage.digests import ENTRY, FORKS_MAX, PER_COLUMN

ONE = ("s/device", b"E" * 16, 2)


def digest(k: int) -> bytes:
    return Random(k).randbytes(16)


def again(digests: Digests) -> Digests:
    other = Digests()
    other.restore(digests.snapshot())
    return other


@pytest.mark.parametrize("seed", range(10))
def test_what_came_is_told_from_another_in_whatever_order_it_came(seed: int) -> None:
    """Kills: a digest at the place of a neighbour; a hole that is taken for a block."""
    random = Random(seed)
    digests, came = Digests(), set[int]()
    for k in random.sample(range(1, 200), 80):
        came.add(k)
        digests.add(ONE, k, digest(k), k)
    for one in (digests, again(digests)):
        for k in range(1, 201):
            assert one.differs(ONE, k, digest(k)) == (False if k in came else None)
            assert one.differs(ONE, k, digest(k + 1000)) == (True if k in came else None)
            assert one.known(ONE, k) == ((digest(k)[:8], k) if k in came else None)


def test_the_newest_of_a_column_stay_and_what_is_forgotten_is_not_called_the_same() -> None:
    """Kills: a table without a bound; a comparison with nothing that says equal."""
    digests = Digests()
    for k in range(1, 2 * PER_COLUMN):
        digests.add(ONE, k, digest(7), 1)
    assert digests.differs(ONE, 1, digest(8)) is None
    assert digests.differs(ONE, 2 * PER_COLUMN - 1, digest(8)) is True
    assert len(digests.snapshot()) < ENTRY.size * PER_COLUMN * 9 // 8 + 200
    digests.add(ONE, 1, digest(1), 1)
    assert digests.differs(ONE, 1, digest(1)) is None
    assert digests.differs(ONE, 2 * PER_COLUMN - 1, digest(8)) is True
    digests.add(ONE, 10**12, digest(1), 1)
    assert digests.differs(ONE, 10**12, digest(1)) is False
    assert digests.differs(ONE, 2 * PER_COLUMN - 1, digest(8)) is None
    assert len(digests.snapshot()) < 400


def test_many_origins_share_a_bounded_memory_and_each_keeps_its_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kills: a fleet in which the digests of a node that was silent are gone when its copy comes."""
    monkeypatch.setattr("headland.storage.digests.ENTRIES", 8_000)
    digests, quiet = Digests(), ("s/quiet", b"E" * 16, 2)
    digests.add(quiet, 7, digest(7), 1)
    for k in range(1, 400):
        for number in range(40):
            digests.add((f"s/{number}", b"E" * 16, 2), k, digest(k), 1)
    assert digests.differs(quiet, 7, digest(8)) is True
    for one in (digests, again(digests)):
        for number in range(40):
            column = (f"s/{number}", b"E" * 16, 2)
            assert all(one.differs(column, k, digest(k)) is False for k in range(399 - 100, 400))
    assert len(digests.snapshot()) < 8_000 * ENTRY.size + 41 * 60
    monkeypatch.setattr("headland.storage.digests.COLUMNS", 41)
    digests.add(("s/new", b"E" * 16, 2), 1, digest(1), 1)
    assert digests.differs(quiet, 7, digest(7)) is None


def test_a_fork_is_kept_once_and_known_after_a_restart() -> None:
    """Kills: a block that a child sends again and again, kept each time."""
    digests = Digests()
    assert digests.fork(ONE, 3, digest(9))
    assert not digests.fork(ONE, 3, digest(9))
    assert again(digests).forked(ONE, 3, digest(9))
    assert not again(digests).forked(ONE, 3, digest(8))
    for k in range(FORKS_MAX + 1):
        digests.fork(ONE, 1000 + k, digest(9))
    assert not digests.forked(ONE, 3, digest(9))


def test_a_snapshot_of_a_version_that_noted_no_rows_is_taken_over() -> None:
    """Kills: digests read at the wrong places after an update."""
    column = b"".join(digest(k)[:8] for k in (5, 6))
    old = msgspec.msgpack.encode([[(*ONE, 5, column)], [(ONE, 5, digest(9)[:8])]])
    digests = Digests()
    digests.restore(old)
    assert [digests.known(ONE, k) for k in (5, 6, 7)] == [(digest(5)[:8], 0), (digest(6)[:8], 0), None]
    assert digests.forked(ONE, 5, digest(9))
    assert digests.snapshot() == again(digests).snapshot()


def test_epochs_beyond_the_horizon_are_forgotten() -> None:
    digests = Digests()
    digests.add(ONE, 1, digest(1), 1)
    digests.fork(ONE, 1, digest(2))
    digests.forget({ONE[:2]})
    assert digests.differs(ONE, 1, digest(2)) is None
    assert not digests.forked(ONE, 1, digest(2))
