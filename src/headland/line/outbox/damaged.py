"""Headers of a run in an outbox file that cannot be read: what is lost is named, what is readable goes on.

The run says which identities stand at its positions, in order, and the headers that verify say which of them
are still there. The rest of the run, from the first unreadable position on, becomes one tombstone, because
the chain value behind it is known and those inside it are not:

```
 run      p_from ........ p          ...                    p_to      chain_to is in the run
 headers  k  k  k  k  k   ?  ?  ?  k  k  k  k  ?  k
          sent as ever    corrupt  wait      corrupt waits            one tombstone at p to p_to
```
Blocks that wait re-enter their lane at its tail, identity unchanged. Where the parent has just said that it
has positions of this run, and the headers to check its chain value with are gone, its word is taken: they
are committed, and an alarm says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headland.line.outbox import records
from headland.line.outbox.applying import entomb
from headland.line.outbox.records import Letter
from headland.line.outbox.runs import Identity, Missing, identities_of, ranges_of, shares
from headland.line.outbox.settling import follow, write
from headland.line.outbox.state import State, book_out
from headland.line.outbox.stream import BacklogFile, Cut, Extent, Stream
from headland.line.outbox.values import PagedHeader
from headland.link.contract import Alarm, Answer, DraftLike
from headland.vocabulary import Account, Instant, Reason


def lose(
    state: State,
    stream: Stream,
    extent: Extent,
    found: Sequence[PagedHeader],
    now: Instant,
    draft: DraftLike,
) -> list[Alarm]:
    """Settle a run whose next header cannot be read.

    Args:
        state: The outbox.
        stream: The stream it stands in.
        extent: The run; the headers from `extent.next_p` on are not in memory.
        found: Every header of the run's part of the file that verifies.
        now: The moment.
        draft: The open commit.
    """
    at = by_identity(found)
    missing = {item.p: item for item in missing_of(extent.info, at)}
    alarms: list[Alarm] = []
    if stream.verify is not None:
        alarms += _believe(state, stream, extent, stream.verify, at, missing, now, draft)
    first = max(extent.next_p, stream.acked + 1)
    if first > extent.last:
        return alarms
    here = set(range(first, extent.last + 1)) - stream.elsewhere
    gone = [missing[p] for p in sorted(here) if p in missing]
    readable = [(p, i) for p, i in identities_of(extent.info) if p in here and p not in missing]
    letters = [_letter(state, extent, at[identity]) for _, identity in readable]
    ranges = ranges_of(gone, stream.key.priority, Reason.CORRUPT)
    tombstone = records.Tombstone(
        stream.key,
        first,
        extent.last,
        extent.info.chain_to,
        ranges,
        cut=Cut(stream.acked_chain if first == stream.acked + 1 else extent.tip),
        waits=tuple(letters),
    )
    draft.section(records.TOMBSTONE, records.encode(tombstone))
    entomb(state, tombstone)
    readings, size = sum(item.rows for item in gone), sum(item.size for item in gone)
    book_out(draft, Account.CORRUPT, stream.key.priority, readings, size)
    back = [item for item in gone if item.p <= stream.booked]
    back += [Missing(p, i, at[i].header.rows, at[i].header.size) for p, i in readable if p <= stream.booked]
    lost_again = sum(item.rows for item in back), sum(item.size for item in back)
    book_out(draft, Account.COMMITTED, stream.key.priority, -lost_again[0], -lost_again[1])
    told = f"{stream.key}: {len(gone)} blocks, {readings} readings in file {extent.info.file & 0xFFFFFFFF:x}"
    return [*alarms, Alarm("corrupt", f"{told} cannot be read; {len(letters)} behind them are sent again")]


def by_identity(found: Sequence[PagedHeader]) -> dict[Identity, PagedHeader]:
    """Headers by the block that they are of."""
    return {(item.header.origin, item.header.epoch, item.header.k): item for item in found}


def missing_of(info: BacklogFile, at: dict[Identity, PagedHeader]) -> list[Missing]:
    """Positions of a run whose headers are gone.

    A run that does not say how many readings each block has shares those that no header tells.
    """
    gone = [(p, identity) for p, identity in identities_of(info) if identity not in at]
    if info.each:
        each: list[int] = msgspec.msgpack.decode(info.each)
        places = [2 * (info.skipped + p - info.p_from) for p, _ in gone]
        return [Missing(*one, each[i], each[i + 1]) for one, i in zip(gone, places, strict=True)]
    readings = max(0, info.readings - sum(item.header.rows for item in at.values()))
    size = max(0, info.payload_bytes - sum(item.header.size for item in at.values()))
    parts = zip(gone, shares(readings, len(gone)), shares(size, len(gone)), strict=True)
    return [Missing(*one, rows, held) for one, rows, held in parts]


def _believe(
    state: State,
    stream: Stream,
    extent: Extent,
    answer: Answer,
    at: dict[Identity, PagedHeader],
    missing: dict[int, Missing],
    now: Instant,
    draft: DraftLike,
) -> list[Alarm]:
    """The parent has told a position that cannot be checked any more: what of it is here is committed."""
    p = min(answer.p, extent.last)
    if p <= stream.acked:
        return []
    letters = {
        q: _letter(state, extent, at[identity])
        for q, identity in identities_of(extent.info)
        if q not in missing
    }
    for q in range(stream.acked + 1, p + 1):
        rows = stream.rows_at(q)
        if rows is not None:
            letters[q] = state.letter(rows.row(q))
    excepted = {item.p: item for item in answer.exceptions if item.p <= p}
    lost = tuple(q for q in sorted(excepted) if q in missing and q not in stream.elsewhere)
    books = {Account.COMMITTED: [0, 0], Account.CORRUPT: [0, 0]}
    for q in range(stream.acked + 1, p + 1):
        if q in stream.elsewhere:
            continue
        held = letters[q].row if q in letters else missing.get(q)
        if held is None:
            continue
        amount = (held.rows, held.size)
        if q in excepted and q not in letters:
            _add(books[Account.CORRUPT], *amount)
        if q in excepted and q <= stream.booked:
            _add(books[Account.COMMITTED], -amount[0], -amount[1])
        elif q not in excepted and q > stream.booked:
            _add(books[Account.COMMITTED], *amount)
    for account, booked in books.items():
        book_out(draft, account, stream.key.priority, *booked)
    kept = tuple(item for q, item in excepted.items() if q in letters)
    value = extent.info.chain_to if p == extent.last else answer.chain
    number = state.next_number
    waits = tuple(letters[item.p] for item in kept)
    record = records.AckedTo(stream.key, p, value, kept, waits, number if kept else 0, lost)
    write(state, record, draft)
    state.acks.append((draft.n, stream, p))
    stream.sent = stream.claimed = p
    rest = tuple(item for item in answer.exceptions if item.p > p)
    stream.verify = Answer(answer.stream, answer.p, answer.chain, rest) if p < answer.p else None
    if stream.verify is None and stream.verify_same and stream.uncertain > p:
        write(state, records.Touchable(stream.key, p), draft)
    told = f"{stream.key}: the parent has {p}; the headers to check that with cannot be read"
    return [Alarm("unverified", told), *follow(state, number, kept, now, draft)]


def _add(amount: list[int], readings: int, payload_bytes: int) -> None:
    amount[0] += readings
    amount[1] += payload_bytes


def _letter(state: State, extent: Extent, item: PagedHeader) -> Letter:
    born_ms = extent.info.stamped_ms - item.header.age_ms
    return state.letter(state.row_of(item.header, born_ms, item.ref.space, item.ref.at, item.ref.length))
