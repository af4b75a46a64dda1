"""Laws of questions and verdicts after a parent went back: exact parts, no repeats, no word taken back."""

from __future__ import annotations

import msgspec
import pytest
from tests.link.world import Pair

from headland.journal.draft import Draft, decode_state
from headland.line.ledger import Ledger
from headland.link import protocol
from headland.link.contract import GapRange, Verdict
from headland.link.downlink import ChildLink
from headland.link.frames import SKIPPABLE, Deframer, Kind
from headland.link.positions import VERDICTS_MAX, Positions
from headland.link.telling import AT_ONCE, Telling
from headland.link.verdicts import HERE, OWNER, Verdicts
from headland.vocabulary import Account, Instant, Reason

E = b"e" * 16
NOW = Instant(1, 1)
BOOKS = (Account.RESTORED, Account.UNKNOWN_BY_RESTORE, Account.HELD_ABOVE, Account.LOST_BY_RESTORE)


def lost(k_from: int, k_to: int, *each: tuple[int, int], hops: int = 0, total: int = 0) -> GapRange:
    readings, size = sum(n for n, _ in each) or total, sum(n for _, n in each) or 8 * total
    return GapRange(
        "o", E, 2, k_from, k_to, int(Reason.LOST_BY_RESTORE), readings, size, 0, 0, each=each, hops=hops
    )


def verdict(k_from: int, k_to: int, held: bool) -> Verdict:
    return Verdict("o", E, 2, k_from, k_to, held)


class Desk:
    """A table with books."""

    def __init__(self) -> None:
        self.verdicts = Verdicts()
        self.ledger = Ledger()
        self.states: list[bytes] = []
        self.n = 1

    def ask(self, child: str, *ranges: GapRange) -> None:
        draft = Draft(self.n)
        if child == HERE:
            for item in ranges:
                draft.book(Account.KEPT, "", 2, "", item.readings, item.payload_bytes)
                draft.book(Account.UNKNOWN_BY_RESTORE, "", 2, "", item.readings, item.payload_bytes)
        self.verdicts.asked(child, ranges, draft)
        self._commit(draft)

    def decide(self, *verdicts: Verdict) -> dict[str, list[Verdict]]:
        draft = Draft(self.n)
        told = self.verdicts.decided(verdicts, draft)
        self._commit(draft)
        return told

    def _commit(self, draft: Draft) -> None:
        for section in draft.sections():
            if section.type == 6:
                owner, data = decode_state(section.data)
                assert owner == OWNER
                self.states.append(data)
        failed = [item for item in self.ledger.apply(draft.ledger, 0) if item.equation != "south"]
        assert not failed
        self.n += 1

    def books(self) -> tuple[int, ...]:
        return tuple(self.ledger.total(one)[0] for one in BOOKS)


def test_a_verdict_on_a_part_takes_that_parts_own_readings_and_leaves_the_rest_unknown() -> None:
    desk = Desk()
    desk.ask(HERE, lost(1, 4, (1, 8), (10, 80), (100, 800), (1000, 8000)))
    desk.decide(verdict(2, 3, True))
    assert desk.books() == (0, 1001, 110, 0)
    desk.decide(verdict(1, 9, False))
    assert desk.books() == (0, 0, 110, 1001)
    assert [(q.k_from, q.k_to, q.held) for q in desk.verdicts.questions()] == [
        (1, 1, False),
        (2, 3, True),
        (4, 4, False),
    ]


def test_where_only_the_sum_is_known_parts_share_it_and_nothing_is_left_over() -> None:
    desk = Desk()
    desk.ask(HERE, lost(1, 3, total=10))
    desk.decide(verdict(2, 2, True))
    assert desk.books() == (0, 7, 3, 0)
    desk.decide(verdict(1, 1, False), verdict(3, 3, True))
    assert desk.books() == (0, 0, 7, 3)


def test_a_verdict_may_come_any_number_of_times() -> None:
    desk = Desk()
    desk.ask("child", lost(1, 2, (1, 8), (1, 8)))
    assert desk.decide(verdict(1, 2, False)) == {"child": [verdict(1, 2, False)]}
    assert desk.decide(verdict(1, 2, False), verdict(7, 9, True)) == {}
    assert desk.books() == (2, 0, 0, 2)


def test_lost_may_become_held_and_held_never_lost() -> None:
    desk = Desk()
    desk.ask("child", lost(1, 2, (1, 8), (1, 8)))
    desk.decide(verdict(1, 2, False))
    assert desk.verdicts.covers("o", E, 2, 2)
    assert desk.decide(verdict(2, 2, True)) == {"child": [verdict(2, 2, True)]}
    assert not desk.verdicts.covers("o", E, 2, 2)
    assert desk.decide(verdict(1, 2, False)) == {}
    assert desk.books() == (2, 0, 1, 1)


def test_a_relay_that_did_not_go_back_passes_verdicts_on_and_books_nothing() -> None:
    desk = Desk()
    desk.ask("child", lost(1, 2, hops=1, total=2))
    assert desk.decide(verdict(1, 5, True)) == {"child": [verdict(1, 2, True)]}
    assert desk.books() == (0, 0, 0, 0)


def test_amounts_that_do_not_add_up_are_not_believed_block_by_block() -> None:
    desk = Desk()
    odd = msgspec.structs.replace(lost(1, 2, (1, 8), (1, 8)), readings=10)
    desk.ask("child", odd)
    desk.decide(verdict(1, 1, True))
    assert desk.books() == (10, 5, 5, 0)


@pytest.mark.parametrize("snapshot_after", [0, 1, 2, 3])
def test_replay_after_any_snapshot_gives_the_same_table(snapshot_after: int) -> None:
    desk = Desk()
    desk.ask(HERE, lost(1, 4, (1, 8), (10, 80), (100, 800), (1000, 8000)))
    desk.ask("child", lost(5, 9, total=5))
    desk.decide(verdict(2, 7, True))
    other = Verdicts()
    for data in desk.states[:snapshot_after]:
        other.replay(data)
    again = Verdicts()
    again.restore(other.snapshot())
    for data in desk.states[snapshot_after:]:
        again.replay(data)
    assert again.questions() == desk.verdicts.questions()
    assert again.snapshot() == desk.verdicts.snapshot()


def many(*counts: int, held: bool = True) -> Desk:
    """Questions of one block each, the first of each origin's settled, as many as the counts say."""
    desk = Desk()
    for origin, (all_of_it, settled) in enumerate(zip(counts[::2], counts[1::2], strict=True)):
        ranges = [
            msgspec.structs.replace(lost(k, k, total=1), origin=f"o{origin}") for k in range(1, all_of_it + 1)
        ]
        desk.ask("child", *ranges)
        if settled:
            desk.decide(msgspec.structs.replace(verdict(1, settled, held), origin=f"o{origin}"))
    return desk


def kept(table: Verdicts) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for item in table.questions():
        out.setdefault(item.origin, []).append(item.k_from)
    return out


def test_beyond_the_bound_settled_questions_go_identity_by_identity_until_an_eighth_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kills: open questions forgotten; all settled ones forgotten at once; a count that drifts away."""
    monkeypatch.setattr("headland.link.verdicts.QUESTIONS_MAX", 16)
    desk = many(4, 2, 4, 4, 8, 8)
    before = kept(desk.verdicts)
    assert sum(map(len, before.values())) == 16
    desk.ask("child", msgspec.structs.replace(lost(9, 9, total=1), origin="o2"))
    # 17 are 3 too many: two of the first go, then all of the second, and the third is not looked at.
    assert kept(desk.verdicts) == {"o0": [3, 4], "o2": [*range(1, 10)]}
    for k in range(10, 15):
        desk.ask("child", msgspec.structs.replace(lost(k, k, total=1), origin="o2"))
    assert kept(desk.verdicts) == {"o0": [3, 4], "o2": [*range(1, 15)]}, "16 are not beyond the bound"
    desk.ask("child", msgspec.structs.replace(lost(15, 15, total=1), origin="o2"))
    assert kept(desk.verdicts) == {"o0": [3, 4], "o2": [*range(9, 16)]}


def test_forgetting_stops_where_just_an_eighth_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headland.link.verdicts.QUESTIONS_MAX", 16)
    desk = many(3, 3, 1, 1, 12, 0)
    desk.ask("child", msgspec.structs.replace(lost(13, 13, total=1), origin="o2"))
    assert kept(desk.verdicts) == {"o1": [1], "o2": [*range(1, 14)]}


@pytest.mark.parametrize("restored", [False, True])
def test_parts_that_a_verdict_cut_off_count_towards_the_bound(
    monkeypatch: pytest.MonkeyPatch, restored: bool
) -> None:
    monkeypatch.setattr("headland.link.verdicts.QUESTIONS_MAX", 8)
    desk = Desk()
    desk.ask("child", lost(1, 9, total=9))
    for k in (2, 4, 6):
        desk.decide(verdict(k, k, True))
    assert len(desk.verdicts.questions()) == 7
    if restored:
        snapshot, desk.verdicts = desk.verdicts.snapshot(), many(3, 3).verdicts
        desk.verdicts.restore(snapshot)
    desk.ask("child", lost(20, 20, total=1))
    assert len(desk.verdicts.questions()) == 8
    desk.ask("child", lost(21, 21, total=1))
    assert [item.k_from for item in desk.verdicts.questions()] == [1, 3, 5, 7, 20, 21]


def test_a_verdict_on_blocks_that_nobody_asked_about_does_not_hide_the_next() -> None:
    desk = Desk()
    desk.ask("child", lost(1, 2, total=2))
    stranger = msgspec.structs.replace(verdict(1, 2, True), origin="stranger")
    assert desk.decide(stranger, verdict(1, 2, True)) == {"child": [verdict(1, 2, True)]}


def test_gaps_of_other_reasons_and_empty_ranges_are_no_questions_and_do_not_hide_the_next() -> None:
    desk = Desk()
    expired = msgspec.structs.replace(lost(5, 6, total=2), reason=int(Reason.EXPIRED))
    desk.ask("child", expired, lost(3, 2), lost(1, 1, total=1))
    assert [(item.k_from, item.k_to) for item in desk.verdicts.questions()] == [(1, 1)]


def test_a_lost_block_is_known_by_all_of_its_identity() -> None:
    desk = Desk()
    desk.ask("child", lost(2, 3, total=2))
    assert not desk.verdicts.covers("o", E, 2, 2), "nobody has said that it is lost"
    desk.decide(verdict(2, 3, False))
    assert [k for k in range(6) if desk.verdicts.covers("o", E, 2, k)] == [2, 3]
    assert not any(
        (
            desk.verdicts.covers("other", E, 2, 2),
            desk.verdicts.covers("o", b"f" * 16, 2, 2),
            desk.verdicts.covers("o", E, 1, 2),
        )
    )


def _told(link: ChildLink) -> list[int]:
    frames = Deframer().feed(bytes(link.out))
    link.out.clear()
    return [protocol.parse(body, protocol.Settled).number for kind, body in frames if kind == Kind.SETTLED]


def test_verdicts_leave_when_durable_once_a_connection_and_again_until_they_are_noted() -> None:
    positions = Positions()
    telling = Telling(positions)
    child = positions.child("c")
    first = ChildLink(1, "c", 1 << 20, 1 << 20, NOW)
    draft = Draft(5)
    telling.tell("c", [verdict(k, k, True) for k in range(1, AT_ONCE + 2)], draft)
    telling.put(first, child)
    assert _told(first) == []
    telling.committed(5)
    telling.put(first, child)
    telling.put(first, child)
    assert _told(first) == [1, 2]
    telling.noted(child, 1, Draft(6))
    second = ChildLink(2, "c", 1 << 20, 1 << 20, NOW)
    telling.put(second, child)
    assert _told(second) == [2]
    again = Positions()
    again.restore(positions.snapshot())
    assert [item.number for item in again.child("c").verdicts] == [2]
    telling.noted(child, 2, Draft(7))
    again.restore(positions.snapshot())
    assert again.child("c").told == 2, "a number is not used twice"


def test_many_verdicts_are_told_in_parts_and_none_is_left_out() -> None:
    positions = Positions()
    every = [verdict(k, k, True) for k in range(1, 2 * AT_ONCE + 2)]
    Telling(positions).tell("c", every, Draft(1))
    parts = [item.verdicts for item in positions.child("c").verdicts]
    assert [len(part) for part in parts] == [AT_ONCE, AT_ONCE, 1]
    assert [one for part in parts for one in part] == every


def test_verdicts_for_a_child_that_never_notes_are_bounded() -> None:
    positions = Positions()
    telling = Telling(positions)
    for k in range(VERDICTS_MAX + 10):
        telling.tell("c", [verdict(k, k, True)], Draft(k + 1))
    numbers = [item.number for item in positions.child("c").verdicts]
    assert numbers == list(range(11, VERDICTS_MAX + 11))


def test_peers_that_know_nothing_of_verdicts_may_skip_them() -> None:
    assert Kind.SETTLED & SKIPPABLE
    assert Kind.NOTED & SKIPPABLE


def test_a_child_notes_a_verdict_when_its_own_commit_holds_it() -> None:
    pair = Pair()
    pair.run(0.5)
    pair.child.keep()
    pair.run(0.5)
    pair.parent.children.telling.tell("child", [verdict(1, 1, True)], pair.parent.draft)
    pair.run(0.5)
    assert pair.parent.children.positions.child("child").verdicts, "noted before it was durable"
    pair.child.uplink.noted(1, pair.child.draft.n)
    pair.run(0.1)
    assert pair.parent.children.positions.child("child").verdicts
    pair.child.keep()
    pair.run(0.5)
    assert not pair.parent.children.positions.child("child").verdicts
