"""Laws of the hint `stored`: it never runs ahead of the cloud, and it gets there."""

from __future__ import annotations

from random import Random

import pytest

from headland.link import stored
from headland.link.contract import StreamKey
from headland.link.stored import StoredAbove

LIVE, BACKLOG = StreamKey(b"r" * 16, 2, 0), StreamKey(b"r" * 16, 2, 1)
CHILD = ("s/child", StreamKey(b"c" * 16, 2, 0))
OTHER = ("s/other", CHILD[1])


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("marks_max", [2, 7, 1024])
def test_the_hint_of_a_relay_never_runs_ahead_and_arrives_in_the_end(
    seed: int, marks_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills: the newest mark for all, one lane for both, joined marks that are stored when one is."""
    monkeypatch.setattr(stored, "MARKS_MAX", marks_max)
    random = Random(seed)
    hints, tail, above = StoredAbove(), {LIVE: 0, BACKLOG: 0}, {LIVE: 0, BACKLOG: 0}
    places: dict[tuple[str, StreamKey], list[tuple[StreamKey, int]]] = {CHILD: [], OTHER: []}

    def truth(child: tuple[str, StreamKey]) -> int:
        upto = 0
        for p, (own, q) in enumerate(places[child], start=1):
            if above[own] < q:
                break
            upto = p
        return upto

    for _ in range(random.randrange(1, 120)):
        own = random.choice((LIVE, BACKLOG))
        if random.random() < 0.7:
            child = random.choice((CHILD, OTHER))
            tail[own] += 1
            places[child].append((own, tail[own]))
            hints.relayed(child, len(places[child]), own, tail[own])
        else:
            above[own] = random.randrange(above[own], tail[own] + 1)
            hints.told(own, above[own])
        for child in places:
            assert hints.of(child) <= truth(child)
            if marks_max == 1024:
                assert hints.of(child) == truth(child)
    for own in above:
        above[own] = tail[own]
        hints.told(own, tail[own])
    for child, placed in places.items():
        assert hints.of(child) == len(placed) == truth(child)


def test_what_an_earlier_parent_said_is_not_passed_on() -> None:
    hints = StoredAbove()
    hints.told(LIVE, 10)
    hints.forget()
    hints.relayed(CHILD, 1, LIVE, 5)
    assert hints.of(CHILD) == 0
    hints.told(LIVE, 5)
    assert hints.of(CHILD) == 1


def test_children_beyond_the_bound_push_the_oldest_out_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kills: a child forgotten too early or never; a forgotten child whose hint stays."""
    monkeypatch.setattr(stored, "STREAMS_MAX", 2)
    hints = StoredAbove()
    third = ("s/third", CHILD[1])
    hints.relayed(CHILD, 1, LIVE, 1)
    hints.relayed(OTHER, 1, LIVE, 2)
    hints.told(LIVE, 2)
    assert [hints.of(one) for one in (CHILD, OTHER)] == [1, 1]
    hints.relayed(third, 1, LIVE, 2)
    assert [hints.of(one) for one in (CHILD, OTHER, third)] == [0, 1, 1]


def test_as_many_marks_as_are_allowed_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills: neighbours joined before there is need to."""
    monkeypatch.setattr(stored, "MARKS_MAX", 4)
    hints = StoredAbove()
    for p in range(1, 5):
        hints.relayed(CHILD, p, LIVE, p)
    hints.told(LIVE, 1)
    assert hints.of(CHILD) == 1
    hints.relayed(CHILD, 5, BACKLOG, 1)
    hints.relayed(CHILD, 6, BACKLOG, 2)
    hints.told(LIVE, 4)
    assert hints.of(CHILD) in (3, 4), "the fifth is not stored"
    hints.told(BACKLOG, 2)
    assert hints.of(CHILD) == 6


def test_of_two_joined_marks_both_streams_have_to_be_stored_as_far_as_either_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stored, "MARKS_MAX", 1)
    hints = StoredAbove()
    hints.relayed(CHILD, 1, LIVE, 0)
    hints.relayed(CHILD, 2, BACKLOG, 0)
    assert hints.of(CHILD) == 2, "positions from before anything stands need nothing"
    hints.relayed(CHILD, 3, LIVE, 7)
    hints.relayed(CHILD, 4, BACKLOG, 3)
    hints.told(LIVE, 7)
    assert hints.of(CHILD) == 2
    hints.told(BACKLOG, 3)
    assert hints.of(CHILD) == 4


def test_what_a_parent_says_later_of_less_takes_nothing_back() -> None:
    hints = StoredAbove()
    hints.told(LIVE, 9)
    hints.told(LIVE, 4)
    hints.told(BACKLOG, 1)
    hints.relayed(CHILD, 1, LIVE, 9)
    hints.relayed(CHILD, 2, BACKLOG, 2)
    assert hints.of(CHILD) == 1
