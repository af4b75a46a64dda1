"""Laws of what a soak calls creeping: a steady growth is found in noise, and noise is not called growth."""

from __future__ import annotations

import random
from itertools import pairwise

import msgspec
import pytest
from soak.counting import Arrived
from soak.cutting import Cut
from soak.generating import Total
from soak.outcome import Books, Outcome, judged, told
from soak.sampling import OfNode, Sample
from soak.site import CHILD, PARENT
from soak.trends import LEAST, by_cycle, quartiles, slope

CYCLES, LOOKS, CYCLE_S = 20, 30, 180.0


def node(mb: float, descriptors: int = 70) -> OfNode:
    return OfNode(mb, mb + 20, descriptors, 11, 1.0, 100.0, 0, True)


def samples(
    growth_mb_per_h: float = 0.0, *, leak: float = 0.0, slower: float = 0.0, seed: int = 1
) -> list[Sample]:
    """An hour: memory swings with each cut by 10 MB, has noise of 2 MB, and grows."""
    chance = random.Random(seed)
    found = []
    for index in range(CYCLES * LOOKS):
        at_s = index * CYCLE_S / LOOKS
        swing = 10.0 if index % LOOKS > LOOKS // 2 else 0.0
        mb = 100 + swing + chance.gauss(0, 2) + growth_mb_per_h * at_s / 3600
        p50 = 2.0 + chance.random() + slower * at_s / 3600
        nodes = {CHILD: node(mb, 70 + int(leak * at_s / 3600)), PARENT: node(50 + chance.random())}
        found.append(Sample(at_s, index // LOOKS, swing > 0, index, p50, p50 * 5, p50 * 9, nodes))
    return found


def outcome(looks: list[Sample], *, waiting: int = 30, **changes: object) -> Outcome:
    total = Total(1000, 1000, 0, 0.02, 0.9, [500, 500], 4_600_000)
    arrived = Arrived(rows=100_000, bytes=4_600_000)
    made = {"total": total, "found": arrived, "books": Books(100_000, 100_000, 100_001, 100_001)}
    return judged(
        looks,
        [Cut("refused", 60.0, 1.0, waiting, 0.5 if waiting else None)],
        **{**made, **changes},  # type: ignore[arg-type]
        findings=[],
        seconds=3600.0,
        rate=100_000 / 3600,
        readings=100,
        connections=2,
        machine={},
    )


def test_the_slope_is_that_of_the_line_whatever_a_few_outliers_do() -> None:
    at_s = [float(60 * n) for n in range(20)]
    values = [5 + 2 * at / 3600 for at in at_s]
    values[3], values[15] = 900.0, -900.0
    found = slope(at_s, values)
    assert found.per_h == pytest.approx(2.0)
    assert found.low_per_h is not None
    assert found.high_per_h is not None
    assert found.low_per_h - 1e-9 <= 2.0 <= found.high_per_h + 1e-9


def test_the_bounds_of_noise_hold_zero_nearly_always_and_those_of_a_growth_never() -> None:
    at_s = [float(180 * n) for n in range(16)]
    chance = random.Random(7)

    def creeps(per_h: float) -> bool:
        return slope(at_s, [100 + chance.gauss(0, 1) + per_h * at / 3600 for at in at_s]).creeps

    assert sum(creeps(0.0) for _ in range(200)) <= 12  # 2.5 % on each side, and some luck
    assert sum(creeps(8.0) for _ in range(200)) >= 190


def test_with_few_values_there_are_no_bounds_and_nothing_creeps_for_certain() -> None:
    found = slope([0.0, 60.0, 120.0], [1.0, 2.0, 3.0])
    assert (found.low_per_h, found.high_per_h, found.creeps) == (None, None, False)
    assert slope([], []).per_h == slope([1.0], [5.0]).per_h == 0.0


def test_a_cycle_that_was_not_whole_does_not_count() -> None:
    looks = samples()[: LOOKS * (LEAST + 1) + 3]
    at_s, values = by_cycle(looks, lambda one: one.nodes[CHILD].pss_mb, 1)
    assert len(at_s) == len(values) == LEAST
    assert all(a < b for a, b in pairwise(at_s))


def test_quartiles_are_those_of_the_values() -> None:
    assert quartiles([1, 2, 3, 4, 5]) == quartiles([5, 4, 3, 2, 1])
    assert msgspec.structs.astuple(quartiles([1, 2, 3, 4, 5])) == (2, 3, 4)
    assert msgspec.structs.astuple(quartiles([7])) == (7, 7, 7)


def test_an_hour_without_a_leak_holds_and_says_so() -> None:
    found = outcome(samples())
    assert found.good, [name for name, good in found.holds.items() if not good]
    assert "holds: memory flat" in told(found)
    assert "DOES NOT HOLD" not in told(found)


@pytest.mark.parametrize(
    ("looks", "broken"),
    [
        (samples(growth_mb_per_h=6.0), "memory flat"),
        (samples(leak=30.0), "no descriptor leaks"),
        (samples(slower=4.0), "latency does not grow"),
    ],
)
def test_what_creeps_is_found_by_name(looks: list[Sample], broken: str) -> None:
    found = outcome(looks)
    assert [name for name, good in found.holds.items() if not good] == [broken]
    assert f"DOES NOT HOLD: {broken}" in told(found)


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"found": Arrived(rows=1, bytes=4_600_000, lost=1)}, "nothing lost"),
        ({"found": Arrived(rows=1, bytes=4_600_000, duplicated=1)}, "nothing duplicated"),
        ({"found": Arrived(rows=1, bytes=4_600_000, reordered=1)}, "nothing reordered"),
        ({"found": Arrived(rows=1, bytes=4_599_999)}, "bytes arrived are bytes sent"),
        ({"books": Books(100_000, 100_000, 100_001, 100_000)}, "books balanced"),
        ({"books": Books(100_000, 99_999, 100_001, 100_001)}, "books balanced"),
    ],
)
def test_what_does_not_add_up_is_found_by_name(changes: dict[str, object], broken: str) -> None:
    found = outcome(samples(), **changes)
    assert [name for name, good in found.holds.items() if not good] == [broken]


def test_a_publish_without_an_answer_and_a_cut_that_hurt_nobody_are_found() -> None:
    unanswered = outcome(samples(), total=Total(1001, 1000, 1, 0.02, 0.9, [500, 500], 4_604_600))
    assert not unanswered.holds["every publish acknowledged"]
    idle = outcome(samples(), waiting=0)
    assert not idle.holds["every cut hurt"]
    assert not idle.holds["cuts are made up for"]
    slow = outcome(samples(), total=Total(900, 900, 0, 0.02, 0.9, [450, 450], 4_600_000))
    assert not slow.holds["rate kept"]
