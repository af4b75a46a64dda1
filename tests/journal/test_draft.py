"""The open commit: everything that was put into it comes back from its frame."""

from __future__ import annotations

import msgspec
import pytest
from tests.journal.harness import EPOCH, execute

from headland.blocks import codec
from headland.journal import (
    Draft,
    LedgerEntry,
    Section,
    SectionType,
    decode_rows,
    decode_state,
    recover,
)
from headland.journal.draft import PIECE_BYTES, PIECE_ROWS, pieces
from headland.simulation.disk import SimulatedDisk
from headland.vocabulary import Account, Columns, PeerError, RowClass, StorageDamage


def full() -> Draft:
    draft = Draft(7)
    draft.state("line", b"first")
    draft.rows(RowClass.HIGH).append(1, 5, 1.5, size=40)
    draft.book(Account.OFFERED, "hall", RowClass.HIGH, "band", 1, 40)
    draft.state("mqtt", b"second")
    draft.rows(RowClass.HELD).append(2, 6, True)
    draft.book(Account.HELD, "hall", RowClass.HIGH, "band", 1, 30)
    draft.state("line", b"third")
    draft.book(Account.HELD, "hall", RowClass.HIGH, "band", -1, -30)
    draft.book(Account.OFFERED, "hall", RowClass.HIGH, "band", 2, 60)
    draft.section(SectionType.CONFIG, b"rules", version=3)
    return draft


def test_a_commit_comes_back_as_it_was_drafted() -> None:
    """Kills: rows of two classes mixed; states replayed in another order than they were written."""
    disk = SimulatedDisk()
    recovered = recover(disk)
    assert list(recovered.frames()) == []
    execute(disk, recovered.journal.append(EPOCH, 7, 1, 1, full().sections()).plan)
    (frame,) = recover(disk.power_cut()).frames()
    by_type: dict[int, list[Section]] = {}
    for section in frame.sections:
        by_type.setdefault(section.type, []).append(section)
    assert [decode_state(part.data) for part in by_type[SectionType.STATE]] == [
        ("line", b"first"),
        ("mqtt", b"second"),
        ("line", b"third"),
    ]
    rows = dict(decode_rows(part.data) for part in by_type[SectionType.ROWS])
    assert {cls: (columns.sid, columns.value) for cls, columns in rows.items()} == {
        RowClass.HIGH: ([1], [1.5]),
        RowClass.HELD: ([2], [True]),
    }
    assert by_type[SectionType.CONFIG] == [Section(SectionType.CONFIG, b"rules", 3)]
    (ledger,) = by_type[SectionType.LEDGER]
    entries = msgspec.msgpack.decode(ledger.data, type=list[LedgerEntry])
    assert entries == [LedgerEntry(Account.OFFERED, "hall", RowClass.HIGH, "band", 3, 100)]


def test_a_draft_knows_whether_a_commit_is_worth_while() -> None:
    """Kills: an fsync for nothing; a drop count that waits for ever."""
    draft = Draft(1)
    assert draft.empty
    assert not draft.only_books
    draft.rows(RowClass.HIGH)
    assert draft.empty
    assert draft.sections() == []
    draft.book(Account.DROPPED, "hall", RowClass.HIGH, "band", 1, 40)
    assert draft.only_books
    draft.rows(RowClass.HIGH).append(1, 5, 1.5)
    assert not draft.only_books
    assert (draft.row_count(RowClass.HIGH), draft.row_count(RowClass.LOW)) == (1, 0)
    other = Draft(2)
    other.state("line", b"")
    assert not other.empty
    assert not other.only_books


@pytest.mark.parametrize("data", [b"", b"\xf0", bytes((99,)) + codec.encode(full().rows(RowClass.HIGH))])
def test_rows_of_no_class_are_damage(data: bytes) -> None:
    with pytest.raises((StorageDamage, PeerError)):
        decode_rows(data)


def test_damaged_bodies_are_damage() -> None:
    for data in (b"", b"\x05ab", b"\x01\xff"):
        with pytest.raises(StorageDamage):
            decode_state(data)


def rows_of(count: int, *sizes: int) -> Columns:
    rows = Columns()
    for at in range(count):
        if sizes:
            rows.append(at, at, float(at), size=sizes[at])
        else:
            rows.append(at, at, float(at))
    return rows


@pytest.mark.parametrize(
    ("count", "lengths"),
    [
        (0, []),
        (1, [1]),
        (PIECE_ROWS, [PIECE_ROWS]),
        (PIECE_ROWS + 1, [PIECE_ROWS, 1]),
        (2 * PIECE_ROWS, [PIECE_ROWS, PIECE_ROWS]),
        (2 * PIECE_ROWS + 3, [PIECE_ROWS, PIECE_ROWS, 3]),
    ],
)
def test_rows_are_cut_behind_as_many_as_a_block_takes_and_none_is_left_over(
    count: int, lengths: list[int]
) -> None:
    """Kills: a piece of one row more; an empty piece behind a full one; a last piece that is left out."""
    parts = pieces(rows_of(count))
    assert [len(part) for part in parts] == lengths
    assert [sid for part in parts for sid in part.sid] == list(range(count))


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ((PIECE_BYTES - 1, 1), [2]),
        ((PIECE_BYTES,), [1]),
        ((PIECE_BYTES - 1, 2), [2]),
        ((PIECE_BYTES - 1, 2, 5), [2, 1]),
        ((PIECE_BYTES + 7, 1, 1), [1, 2]),
        ((1, PIECE_BYTES - 2, 1, PIECE_BYTES - 1, 1, 9), [3, 2, 1]),
        ((3, PIECE_BYTES, PIECE_BYTES, 1), [2, 1, 1]),
    ],
)
def test_rows_are_cut_behind_the_one_that_fills_a_block_with_payload(
    sizes: tuple[int, ...], lengths: list[int]
) -> None:
    """Kills: the bytes of one row counted for another; a sum that is not begun again behind a cut."""
    parts = pieces(rows_of(len(sizes), *sizes))
    assert [len(part) for part in parts] == lengths
    assert [size for part in parts for size in part.size or ()] == list(sizes)


def test_each_piece_is_a_section_of_its_own() -> None:
    draft = Draft(1)
    sizes = (PIECE_BYTES, 1)
    for at, size in enumerate(sizes):
        draft.rows(RowClass.NORMAL).append(at, at, 0.5, size=size)
    parts = [decode_rows(part.data) for part in draft.sections()]
    assert [(cls, columns.sid) for cls, columns in parts] == [(RowClass.NORMAL, [0]), (RowClass.NORMAL, [1])]


@pytest.mark.parametrize(
    ("data", "expected"), [(b"\x00", ("", b"")), (b"\x01a", ("a", b"")), (b"\x00z", ("", b"z"))]
)
def test_a_state_section_that_just_holds_its_owners_name_is_whole(
    data: bytes, expected: tuple[str, bytes]
) -> None:
    assert decode_state(data) == expected


def test_rows_of_a_class_are_appended_to_those_before_them() -> None:
    draft = Draft(1)
    for sid in range(3):
        draft.rows(RowClass.HIGH).append(sid, sid, 0.5)
        draft.rows(RowClass.LOW).append(sid + 10, sid, 0.5)
    assert draft.rows(RowClass.HIGH).sid == [0, 1, 2]
    assert (draft.row_count(RowClass.LOW), draft.row_count(RowClass.CRITICAL)) == (3, 0)


def test_bytes_are_offered_once_whatever_else_is_booked_of_them() -> None:
    """Kills: a draft that is closed for bytes which nobody offered."""
    draft = Draft(1)
    assert (draft.offered_bytes, draft.section_bytes, draft.section_count) == (0, 0, 0)
    draft.book(Account.OFFERED, "g", 2, "r", 1, 40)
    draft.book(Account.KEPT, "g", 2, "r", 1, 40)
    draft.book(Account.OFFERED, "g", 2, "r", 1, 2)
    assert draft.section(SectionType.CONFIG, b"abc") == 0
    assert draft.section(SectionType.CONFIG, b"de") == 1
    assert (draft.offered_bytes, draft.section_bytes, draft.section_count) == (42, 5, 2)
