"""Laws of the key table of a node that stores, against plain sets of numbers."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from headland.storage import Applied, RangeSet

KEYS = [("a", b"1" * 16, 0), ("a", b"2" * 16, 0), ("b", b"1" * 16, 3)]


@pytest.mark.parametrize("seed", range(30))
def test_the_key_table_is_a_set_of_numbers_per_origin_epoch_and_class(seed: int) -> None:
    """Kills: ranges that do not join, join too far, or answer for another origin; a split one short."""
    random = Random(seed)
    table, model = Applied(), {key: set[int]() for key in KEYS}
    for _ in range(random.randrange(1, 120)):
        key, k = random.choice(KEYS), random.randrange(1, 40)
        assert table.apply(*key, k) is (k not in model[key])
        model[key].add(k)
    again = Applied()
    again.restore(table.snapshot())
    for key in KEYS:
        numbers = model[key]
        assert [k for k in range(45) if again.has(*key, k)] == sorted(numbers)
        low = random.randrange(1, 40)
        high = random.randrange(low, 45)
        parts = again.split(*key, low, high)
        assert [k for first, last, _ in parts for k in range(first, last + 1)] == list(range(low, high + 1))
        assert all((k in numbers) is held for first, last, held in parts for k in range(first, last + 1))
        assert all(one[2] is not other[2] for one, other in itertools.pairwise(parts))
    for key, known in again.items():
        assert sum(high - low + 1 for low, high in known.ranges()) == len(model[key])
        gaps = {k for low, high in known.gaps() for k in range(low, high + 1)}
        assert gaps == set(range(1, max(model[key]))) - model[key]


@pytest.mark.parametrize("seed", range(30))
def test_whole_ranges_join_what_they_touch_and_nothing_else(seed: int) -> None:
    """Kills: neighbours that stay apart, a range that swallows a gap, a touch one short."""
    random = Random(seed)
    known, model = RangeSet(), set[int]()
    for _ in range(random.randrange(1, 12)):
        low = random.randrange(60)
        high = low + random.randrange(8)
        known.add_range(low, high)
        model.update(range(low, high + 1))
    ranges = known.ranges()
    assert [k for low, high in ranges for k in range(low, high + 1)] == sorted(model)
    assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(ranges))
    assert len(known) == len(ranges)
    for low in range(70):
        high = low + random.randrange(5)
        assert known.touches(low, high) is bool(model.intersection(range(low, high + 1)))


@pytest.mark.parametrize("seed", range(40))
def test_only_old_epochs_with_a_younger_one_are_forgotten_and_only_they_are_doubted(
    seed: int,
) -> None:
    """Kills: the newest epoch of an origin forgotten, a clock used for an order, a horizon off by one."""
    random = Random(seed)
    table, seen = Applied(), dict[tuple[str, int], tuple[int, int]]()
    for origin in ("a", "b"):
        for epoch in range(5):
            for _ in range(random.randrange(3)):
                n, at = epoch * 100 + random.randrange(1, 100), random.randrange(1, 1000)
                k = random.randrange(1, 50)
                table.apply(origin, bytes([epoch]) * 16, 2, k, n, at, "child")
                first, touched = seen.get((origin, epoch), (n, at))
                seen[origin, epoch] = min(first, n), max(touched, at)
    before = random.randrange(1, 1000)
    old = table.old(before, 1000)
    may = {
        (origin, bytes([epoch]) * 16)
        for (origin, epoch), (_, touched) in seen.items()
        if touched < before and any(one == origin and other > epoch for one, other in seen)
    }
    assert set(old) <= may
    forgotten = len(table)
    table.forget(old)
    again = Applied()
    again.restore(table.snapshot())
    assert len(again) == forgotten - len(old)
    for (origin, epoch), (first, _) in seen.items():
        name = bytes([epoch]) * 16
        gone = (origin, name) in old
        for n in (first, epoch * 100 + 99):
            doubted = again.unproven(origin, name, n)
            assert doubted is gone or (gone and n > first), "all that came is doubted"
        assert not again.unproven(origin, b"x" * 16, 1000)
