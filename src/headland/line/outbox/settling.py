"""Answers, second attempts and giving up: how a block leaves `pending`, or comes back to its lane."""

from __future__ import annotations

from collections.abc import Iterable

from headland.line.outbox import records
from headland.line.outbox.applying import apply, entomb, must_find
from headland.line.outbox.records import Record
from headland.line.outbox.rows import Row
from headland.line.outbox.runs import blocks_of, ranges_of
from headland.line.outbox.state import State, book_out
from headland.line.outbox.stream import Extent, Stream
from headland.link.contract import (
    CHAIN_SHOWN,
    REASONS,
    Alarm,
    Answer,
    DraftLike,
    GapRange,
    Later,
    LaterReason,
    Rejected,
    StreamKey,
)
from headland.vocabulary import Account, Instant, Reason


def write(state: State, record: Record, draft: DraftLike) -> None:
    """Make a record part of the open commit, and apply it."""
    draft.section(records.OUTBOX, records.encode(record))
    apply(state, record)


def stand(stream: Stream, draft: DraftLike) -> None:
    """Say where a stream stands, before the first that this commit adds to it."""
    if stream.stated_n != draft.n:
        stream.stated_n = draft.n
        if stream.tail:
            record = records.Stands(stream.key, stream.tail, stream.tail_chain)
            draft.section(records.OUTBOX, records.encode(record))


def settle(state: State, stream: Stream, answer: Answer, now: Instant, draft: DraftLike) -> list[Alarm]:
    """Take a parent's answers; what contradicts what was sent changes nothing and raises an alarm."""
    p = answer.p
    if p <= stream.acked:
        return []
    refusal = _contradiction(stream, answer)
    if refusal:
        return [Alarm("lying_ack", f"{stream.key}: {refusal}")]
    readings = size = 0
    letters = []
    excepted = {item.p: item for item in answer.exceptions}
    for position in range(stream.acked + 1, p + 1):
        rows = stream.rows_at(position)
        if rows is None or position in stream.elsewhere:
            continue
        row = rows.row(position)
        if position in excepted:
            letters.append(state.letter(row))
            if position <= stream.booked:
                readings -= row.rows
                size -= row.size
        elif position > stream.booked:
            readings += row.rows
            size += row.size
    if len(letters) != len(excepted):
        return [Alarm("lying_ack", f"{stream.key}: an answer speaks of a position without a block")]
    book_out(draft, Account.COMMITTED, stream.key.priority, readings, size)
    chain_value = stream.chain_at(p)
    assert chain_value is not None
    first_number = state.next_number
    number = first_number if letters else 0
    record = records.AckedTo(stream.key, p, chain_value, answer.exceptions, tuple(letters), number)
    write(state, record, draft)
    state.acks.append((draft.n, stream, p))
    return follow(state, first_number, answer.exceptions, now, draft)


def follow(
    state: State, first_number: int, exceptions: Iterable[Later | Rejected], now: Instant, draft: DraftLike
) -> list[Alarm]:
    """Do with the blocks that now wait, from this number on, what the parent's answers say."""
    return [
        alarm
        for number, item in enumerate(exceptions, start=first_number)
        for alarm in _except(state, number, item, now, draft)
    ]


def _contradiction(stream: Stream, answer: Answer) -> str:
    p = answer.p
    if p > stream.sent:
        return f"acknowledges {p}, sent were {stream.sent}"
    value = stream.chain_at(p)
    if value is None:
        return f"acknowledges {p}, inside a tombstone or a page that was never sent"
    if len(answer.chain) < CHAIN_SHOWN or value[: len(answer.chain)] != answer.chain:
        return f"acknowledges {p} with another chain value"
    positions = [item.p for item in answer.exceptions]
    if positions != sorted(set(positions)) or any(not stream.acked < item <= p for item in positions):
        return f"answers positions {positions} under {p}"
    return ""


def _except(state: State, number: int, item: Later | Rejected, now: Instant, draft: DraftLike) -> list[Alarm]:
    waiting = state.waiting[number]
    letter, settings = waiting.letter, state.settings.classes[waiting.priority]
    name = f"{letter.origin}/{letter.epoch[:4].hex()}/{waiting.priority}/{letter.row.k}"
    if isinstance(item, Rejected):
        bury(state, number, Reason.REJECTED, draft)
        return [Alarm("rejected", f"block {name}: reason {item.reason}")]
    if item.reason == LaterReason.NOT_AUTHORISED:
        waiting.due_ns = now.monotonic_ns + PARK_NS
        state.set_waiting(waiting)
        new = letter.origin not in state.parked
        state.parked.add(letter.origin)
        return [Alarm("not_authorised", f"the parent does not take blocks of {letter.origin}")] if new else []
    if item.spends and settings.max_retries is not None and letter.row.tries > settings.max_retries:
        bury(state, number, Reason.DEAD_LETTER, draft)
        return [Alarm("dead_letter", f"block {name}: {settings.max_retries} retries spent")]
    return []


PARK_NS = 15 * 60 * 1_000_000_000
"""A block of an origin that is not authorised is tried again after so long, or at the next handshake."""


def bury(state: State, number: int, reason: Reason, draft: DraftLike) -> None:
    """Give a waiting block up: a tombstone at its lane's tail, and a dead letter."""
    item = state.waiting[number]
    row = state.own(item.letter)
    book_out(draft, REASONS[reason], item.priority, row.rows, row.size)
    (named,) = state.ranges([row], item.priority, reason)
    assert state.current is not None
    key = StreamKey(state.current.epoch, item.priority, item.lane)
    stand(state.open_stream(state.current, item.priority, item.lane), draft)
    write(state, records.Buried(number, key, reason, named), draft)
    stream = must_find(state, key)
    state.drafted.append((draft.n, stream, stream.tail))


def give_up(
    state: State, stream: Stream, p_from: int, p_to: int, reason: Reason, draft: DraftLike
) -> tuple[GapRange, ...]:
    """Replace blocks whose headers are in memory by tombstones; only ever at and above `touchable`.

    What is elsewhere leaves its place without one.
    """
    rows: list[Row] = []
    chain_value = b""
    for p in range(p_from, p_to + 1):
        columns = stream.rows_at(p)
        assert columns is not None
        chain_value = columns.chain_at(p)
        if p not in stream.elsewhere:
            rows.append(columns.row(p))
    ranges = state.ranges(rows, stream.key.priority, reason)
    letters = (
        tuple(map(state.letter, rows)) if reason is not Reason.SHED and reason is not Reason.CORRUPT else ()
    )
    cut = stream.cut_of(p_from, p_to)
    _entomb(state, records.Tombstone(stream.key, p_from, p_to, chain_value, ranges, letters, cut), draft)
    _book_ranges(draft, ranges, reason)
    return ranges


def give_up_extent(
    state: State, stream: Stream, extent: Extent, reason: Reason, draft: DraftLike
) -> tuple[GapRange, ...]:
    """Replace a whole run in an outbox file by tombstones, without reading it."""
    info = extent.info
    if stream.may_go_unread(extent):
        ranges = tuple(
            GapRange(
                item.origin, item.epoch, item.priority, item.k_from, item.k_to, reason,
                item.readings, item.payload_bytes, item.ts_min, item.ts_max, item.groups,
            )
            for item in info.ranges
        )  # fmt: skip
    else:
        standing = [item for item in blocks_of(info) if item.p not in stream.elsewhere]
        ranges = ranges_of(standing, stream.key.priority, reason)
    run = info if reason is Reason.EXPIRED else None
    tombstone = records.Tombstone(stream.key, info.p_from, info.p_to, info.chain_to, ranges, run=run)
    _entomb(state, tombstone, draft)
    _book_ranges(draft, ranges, reason)
    return ranges


def park(state: State, stream: Stream, p_from: int, p_to: int, now: Instant, draft: DraftLike) -> None:
    """Take blocks of a parked origin out of their lane before they are sent."""
    first_number = state.next_number
    rows = []
    for p in range(p_from, p_to + 1):
        columns = stream.rows_at(p)
        assert columns is not None
        rows.append(columns.row(p))
    letters = tuple(map(state.letter, rows))
    cut = stream.cut_of(p_from, p_to)
    write(state, records.Parked(stream.key, p_from, p_to, rows[-1].chain, letters, cut), draft)
    for number in range(first_number, state.next_number):
        item = state.waiting[number]
        item.due_ns = now.monotonic_ns + PARK_NS
        state.set_waiting(item)


def _entomb(state: State, tombstone: records.Tombstone, draft: DraftLike) -> None:
    draft.section(records.TOMBSTONE, records.encode(tombstone))
    entomb(state, tombstone)


def _book_ranges(draft: DraftLike, ranges: Iterable[GapRange], reason: Reason) -> None:
    for item in ranges:
        book_out(draft, REASONS[reason], item.priority, item.readings, item.payload_bytes)
