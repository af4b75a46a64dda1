"""Laws of headers in outbox files that cannot be read: named, never waited for, nothing else is lost."""

from __future__ import annotations

import msgspec
import pytest
from tests.outbox.desk import PARENT, Desk

from headland.line.outbox import OutboxSettings, space
from headland.link.contract import BlockEntry, GapEntry, Later, PageIn, ParentName, StreamWelcome
from headland.vocabulary import Account, Reason


def in_a_file(count: int, *hurt: int, settings: OutboxSettings | None = None) -> Desk:
    """Blocks 1 to `count`, of that many readings each, in one file; the headers of `hurt` do not verify."""
    desk = Desk(settings or OutboxSettings(page=3))
    for k in range(1, count + 1):
        desk.keep(rows=k)
    desk.commit()
    file = desk.spill()
    desk.hurt = {(file, k - 1) for k in hurt}
    return desk


def block_ks(desk: Desk, entries: list[BlockEntry | GapEntry]) -> list[int]:
    """Identity of each block sent."""
    out = []
    for entry in entries:
        if isinstance(entry, BlockEntry):
            rows = desk.outbox.state.find(entry.stream).rows_at(entry.p)
            out.append(rows.row(entry.p).k)
    return out


def answer_all(desk: Desk) -> None:
    for stream in list(desk.outbox.state.streams()):
        if not stream.drained:
            desk.answer(stream.key, stream.tail)


@pytest.mark.parametrize("again", [False, True])
def test_what_is_readable_behind_damage_is_sent_and_what_is_not_is_named(again: bool) -> None:
    """Kills: a lane that waits for a page; a whole run given up for one record; a tombstone not replayed."""
    desk = in_a_file(10, 4, 5, 8)
    if again:
        desk.restart()
    desk.up()
    sent = desk.send()
    if again:
        desk.down()
        desk.restart()
        desk.up()
        sent = desk.send()
    gap = next(entry for entry in sent if isinstance(entry, GapEntry))
    assert (gap.p_from, gap.p_to) == (4, 10)
    assert [(one.k_from, one.k_to, one.reason, one.readings) for one in gap.ranges] == [
        (4, 5, Reason.CORRUPT, 9),
        (8, 8, Reason.CORRUPT, 8),
    ]
    assert sorted(block_ks(desk, sent)) == [1, 2, 3, 6, 7, 9, 10]
    answer_all(desk)
    assert (desk.total(Account.CORRUPT), desk.total(Account.COMMITTED), desk.pending()) == (17, 38, 0)


def test_of_a_file_that_is_gone_everything_is_named() -> None:
    """Kills: an empty answer that is asked for again for ever."""
    desk = in_a_file(5, 1, 2, 3, 4, 5)
    desk.up()
    (gap,) = desk.send()
    assert isinstance(gap, GapEntry)
    assert [(one.k_from, one.k_to) for one in gap.ranges] == [(1, 5)]
    answer_all(desk)
    assert (desk.total(Account.CORRUPT), desk.pending()) == (15, 0)
    assert [alarm.kind for alarm in desk.alarms] == ["corrupt"]


def test_damage_to_what_was_answered_loses_nothing() -> None:
    """Kills: counting damaged headers of blocks that the parent has."""
    desk = in_a_file(8, 2, 6, settings=OutboxSettings(page=3, history=1))
    hurt, desk.hurt = desk.hurt, set()
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 4)
    desk.down()
    key, chain = desk.stream().key, desk.stream().chain_at(4)
    desk.hurt = hurt
    desk.restart()
    desk.up([StreamWelcome(key, 4, chain)])
    assert sorted(block_ks(desk, desk.send())) == [5, 7, 8]
    answer_all(desk)
    assert (desk.total(Account.CORRUPT), desk.total(Account.COMMITTED), desk.pending()) == (6, 30, 0)


def test_a_second_look_at_a_run_that_was_cut_knows_its_blocks() -> None:
    """Kills: identities counted from the front of a run whose front was cut off."""
    desk = in_a_file(9, 7)
    desk.up()
    first = desk.send(limit=3)
    assert block_ks(desk, first) == [1, 2, 3]
    desk.answer(desk.stream().key, 3)
    while isinstance(page := desk.outbox.next_to_send((1 << 30,) * 4, desk.now), PageIn):
        desk.serve(page)
    assert desk.outbox.unreadable(desk.stream().key, 5, desk.draft)
    desk.commit()
    desk.down()
    desk.restart()
    desk.up()
    assert sorted(block_ks(desk, desk.send())) == [4, 6, 8, 9]
    answer_all(desk)
    assert (desk.total(Account.CORRUPT), desk.total(Account.COMMITTED), desk.pending()) == (12, 33, 0)


@pytest.mark.parametrize("told", [3, 6, 10])
def test_where_the_headers_to_check_it_with_are_gone_the_parents_word_is_taken_and_said(told: int) -> None:
    """Kills: sending again, or giving up, what the parent has just said that it has."""
    desk = in_a_file(10, 2, 5, settings=OutboxSettings(page=3, history=1))
    key = desk.stream().key
    chains = [desk.stream().chain_at(0), *(bytes([p]) * 16 for p in range(1, 10)), desk.stream().tail_chain]
    desk.restart()
    desk.up([StreamWelcome(key, told, chains[told])])
    assert sorted(block_ks(desk, desk.send())) == [k for k in range(told + 1, 11) if k != 5]
    assert "unverified" in [alarm.kind for alarm in desk.alarms]
    answer_all(desk)
    corrupt = 5 if told < 5 else 0
    assert (desk.total(Account.CORRUPT), desk.total(Account.COMMITTED)) == (corrupt, 55 - corrupt)
    assert desk.pending() == 0


def test_a_block_that_the_parent_put_off_waits_and_one_that_is_also_damaged_is_corrupt() -> None:
    """Kills: a block counted committed that the parent had not taken."""
    desk = in_a_file(6, 2, 5, settings=OutboxSettings(page=3, history=1))
    key = desk.stream().key
    value = desk.stream().tail_chain
    desk.restart()
    desk.up([StreamWelcome(key, 6, value, (Later(4), Later(5)))])
    assert block_ks(desk, desk.send()) == [4]
    answer_all(desk)
    assert (desk.total(Account.CORRUPT), desk.total(Account.COMMITTED), desk.pending()) == (5, 16, 0)


def test_what_was_damaged_and_put_off_is_not_lost_with_the_parent_as_if_it_had_been_committed() -> None:
    """Kills: a corrupt block booked out of `committed` when the parent comes back empty."""
    desk = in_a_file(6, 2, 5, settings=OutboxSettings(page=3, history=1))
    key = desk.stream().key
    value = desk.stream().tail_chain
    desk.restart()
    desk.up([StreamWelcome(key, 6, value, (Later(4), Later(5)))])
    desk.send()
    desk.outbox.forget(key, 6, desk.draft)
    desk.commit()
    desk.restart()
    desk.up([StreamWelcome(key, -1)], ParentName(PARENT.name, b"E" * 16))
    assert (desk.total(Account.UNKNOWN_BY_RESTORE), desk.total(Account.COMMITTED)) == (1 + 2 + 3 + 6, 0)
    assert (desk.total(Account.CORRUPT), desk.pending()) == (5, 4)


def test_a_look_that_ends_after_the_link_went_down_changes_nothing() -> None:
    """Kills: giving up what the next parent may say that it has."""
    desk = in_a_file(4, 1, 2, 3, 4)
    desk.up()
    page = desk.outbox.next_to_send((1 << 30,) * 4, desk.now)
    while not isinstance(page, PageIn):
        desk.wake()
        page = desk.outbox.next_to_send((1 << 30,) * 4, desk.now)
    desk.down()
    assert desk.outbox.page_damaged(page.stream, page.p) is None
    assert desk.outbox.page_lost(page.stream, page.p, (), desk.now, desk.draft) == []
    assert desk.pending() == 10


def begun(
    count: int, acked: int, *hurt: int, behind: int = 0, filed: bool = False
) -> tuple[Desk, list[bytes]]:
    """As `in_a_file`, all sent and the front answered; `behind` more in the journal or a file; restarted."""
    desk = Desk(OutboxSettings(page=3, history=1))
    for k in range(1, count + 1):
        desk.keep(rows=k)
    desk.commit()
    desk.up()
    desk.send()
    if acked:
        desk.answer(desk.stream().key, acked)
    desk.down()
    chains = [desk.stream().chain_at(p) for p in range(count + 1)]
    file = desk.spill()
    for k in range(count + 1, count + behind + 1):
        desk.keep(rows=k)
        chains.append(desk.stream().tail_chain)
    desk.commit()
    if filed:
        desk.spill()
    desk.hurt = {(file, k - 1) for k in hurt}
    desk.restart()
    return desk, chains


def serve_pages(desk: Desk) -> list[BlockEntry | GapEntry]:
    """Read what is asked for, until something is handed out to be sent, or nothing."""
    while isinstance(entry := desk.outbox.next_to_send((1 << 30,) * 4, desk.now), PageIn):
        desk.serve(entry)
    return [] if entry is None else [entry]


@pytest.mark.parametrize("filed", [False, True])
@pytest.mark.parametrize("told", [5, 6, 8, 9])
def test_the_parents_word_is_taken_as_far_as_the_damaged_run_goes_and_checked_behind_it(
    told: int, filed: bool
) -> None:
    """Kills: a word taken for what was answered before; what was put off behind the run forgotten."""
    desk, chains = begun(6, 1, 2, 5, behind=3, filed=filed)
    stream = next(one for one in desk.outbox.state.streams() if one.tail)
    later = tuple(Later(p) for p in (3, 7) if p <= told)
    desk.up([StreamWelcome(stream.key, told, chains[told], later)])
    handed = serve_pages(desk)
    desk.wake()
    answered = [k for k in range(1, told + 1) if k not in (3, 7)]
    assert (stream.acked, stream.acked_chain, stream.frozen) == (told, chains[told], False)
    assert (desk.total(Account.COMMITTED), desk.total(Account.CORRUPT)) == (sum(answered), 0)
    assert stream.uncertain == told, "nothing behind it is with the parent"
    assert [alarm.kind for alarm in desk.alarms].count("unverified") == 1
    sent = block_ks(desk, [*handed, *desk.send()])
    desk.advance(3600)
    sent += block_ks(desk, desk.send())
    assert sorted(sent) == [k for k in range(2, 10) if k not in answered]
    answer_all(desk)
    assert (desk.total(Account.COMMITTED), desk.pending()) == (45, 0)


def test_behind_a_word_that_was_taken_another_chain_value_is_a_fork() -> None:
    """Kills: a parent believed for blocks whose headers are here."""
    desk, chains = begun(6, 1, 2, 5, behind=3, filed=True)
    stream = next(one for one in desk.outbox.state.streams() if one.tail)
    desk.up([StreamWelcome(stream.key, 8, bytes(16))])
    serve_pages(desk)
    desk.wake()
    assert stream.frozen
    assert (stream.acked, stream.acked_chain) == (6, chains[6])
    assert desk.total(Account.COMMITTED) == 21


@pytest.mark.parametrize(
    ("told", "committed", "corrupt", "back"),
    [(2, 1, 7, [3, 4, 6]), (3, 4, 7, [4, 6]), (6, 18, 3, [])],
)
def test_a_word_for_blocks_that_are_still_in_committed_books_them_once(
    monkeypatch: pytest.MonkeyPatch, told: int, committed: int, corrupt: int, back: list[int]
) -> None:
    """A file of a version that did not say how much is in each block stays booked until it is read.

    Kills: a block counted committed twice, or put off and still committed.
    """
    made = space.extent_of
    monkeypatch.setattr(space, "extent_of", lambda *given: msgspec.structs.replace(made(*given), each=b""))
    desk, chains = begun(8, 0)
    (file,) = desk.files
    stream = next(one for one in desk.outbox.state.streams() if one.tail)
    desk.up([StreamWelcome(stream.key, 6, chains[6])])
    desk.send()
    assert desk.total(Account.COMMITTED) == 21
    desk.down()
    desk.restart()
    desk.hurt = {(file, 1), (file, 4)}
    stream = desk.outbox.state.find(stream.key)
    desk.up([StreamWelcome(stream.key, 1, chains[1])])
    assert (desk.total(Account.COMMITTED), stream.booked) == (21, 6)
    desk.down()
    desk.up([StreamWelcome(stream.key, told, chains[told], (Later(2),))])
    sent = block_ks(desk, desk.send())
    assert desk.ledger.total(Account.CORRUPT)[0] == corrupt
    assert desk.total(Account.COMMITTED) == committed
    assert sorted(sent) == [*back, 7, 8]
    answer_all(desk)
    assert (desk.total(Account.COMMITTED), desk.pending()) == (36 - corrupt, 0)
    assert desk.ledger.total(Account.COMMITTED)[1] == 8 * 36 - desk.ledger.total(Account.CORRUPT)[1]
