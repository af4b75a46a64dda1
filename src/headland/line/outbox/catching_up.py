"""The handshake's half of the outbox: where the parent stands, compared stream by stream.

```
parent's p against ours            what it means        what happens
no history, another parent         this node moved      opening balance: everything not committed is sent
no history, the same parent        its store is empty   as a parent that went back to what it began with
no history, none of it answered    it lost nothing      opening balance again
p > tail                           this node went back  frozen, kept, reported
confirmed exceptions above acked   the same             the same: which were not committed, nobody knows
acked <= p <= tail, chain equal    acks were lost       taken as acks
p < acked, chain equal or unknown  the parent went      re-sent from max(p, floor); what is gone is booked
                                   back                 unknown_by_restore and reported
the same, of an earlier parent     it has not had more, the same; it is not said to have gone back
                                   or went back
chain differs, or p stands inside  a fork               frozen, kept, alarm; where p < acked, all that is
our tombstones                                          here is unanswered again: it may have lost any of it
```
What had been answered `Later` or `Rejected` stands elsewhere by now: its old position is sent again as a
place without a block.
"""

from __future__ import annotations

from headland.line.outbox import records
from headland.line.outbox.losing import lost_ranges
from headland.line.outbox.releasing import tell
from headland.line.outbox.runs import standing
from headland.line.outbox.settling import settle, write
from headland.line.outbox.state import State, book_out
from headland.line.outbox.stream import Extent, Gap, Stream
from headland.link.contract import (
    Alarm,
    Answer,
    DraftLike,
    ExceptionAnswer,
    GapRange,
    ParentName,
    StreamWelcome,
)
from headland.vocabulary import Account, Instant

INSIDE = "at position {} the parent has a block, and here are tombstones"


def meet(state: State, parent: ParentName, draft: DraftLike) -> bool:
    """Note who the parent is; whether it is the one that the last positions were compared with."""
    known = state.parent
    if known != parent:
        write(state, records.ParentIs(parent.name, parent.store), draft)
    return known is None or known == parent


def compare(
    state: State,
    stream: Stream,
    welcome: StreamWelcome,
    same: bool,
    returns: bool,
    now: Instant,
    draft: DraftLike,
) -> list[Alarm]:
    """Settle one stream with where the parent stands.

    Args:
        state: The outbox.
        stream: One of its streams.
        welcome: What the parent said of it.
        same: The parent is the one that the last positions were compared with.
        returns: It has that one's name; without history it was restored or its store was replaced.
        now: The moment.
        draft: The open commit.
    """
    p = welcome.p
    stream.verify = None
    stream.theirs = (p, welcome.chain) if p >= 0 else (stream.acked, stream.acked_chain)
    if stream.frozen:
        if stream.frozen_told or stream.tail == stream.acked:
            return []
        stream.frozen_told = True
        return [
            Alarm("frozen", f"{stream.key}: {stream.tail - stream.acked} blocks are kept here and not sent")
        ]
    alarms: list[Alarm] = []
    if p < 0:
        if returns and stream.acked > stream.base:
            alarms = rewind(state, stream, stream.base, stream.base_chain, draft)
        _restart(stream)
        return alarms
    if p > stream.tail:
        return freeze(state, stream, "child_went_back", f"the parent has {p}, here are {stream.tail}", draft)
    if welcome.heard > max(stream.acked, stream.booked) and welcome.heard not in stream.elsewhere:
        detail = f"what had been put aside up to {welcome.heard} is not known here"
        return freeze(state, stream, "child_went_back", detail, draft)
    here = known_chain(state, stream, p)
    if here is not None and here != welcome.chain:
        if p < stream.acked:
            _take_all_back(state, stream, draft)
        return freeze(state, stream, "fork", f"at position {p} the parent has another chain value", draft)
    if p < stream.acked:
        if here is None and p >= stream.floor and not isinstance(stream.piece_at(p), Extent):
            _take_all_back(state, stream, draft)
            return freeze(state, stream, "fork", INSIDE.format(p), draft)
        alarms = rewind(state, stream, p, welcome.chain, draft, returns=returns)
    elif p > stream.acked:
        alarms, exceptions = _new_exceptions(state, stream, welcome, draft)
        answer = Answer(stream.key, p, welcome.chain, exceptions)
        if stream.absent(stream.acked + 1, p) is not None:
            stream.verify, stream.verify_same = answer, same
            _restart(stream)
            return alarms
        if stream.chain_at(p) is None:
            return [*alarms, *freeze(state, stream, "fork", INSIDE.format(p), draft)]
        stream.sent = stream.claimed = p
        alarms += settle(state, stream, answer, now, draft)
    _restart(stream)
    if same and stream.uncertain > p:
        write(state, records.Touchable(stream.key, p), draft)
    return alarms


def _new_exceptions(
    state: State, stream: Stream, welcome: StreamWelcome, draft: DraftLike
) -> tuple[list[Alarm], tuple[ExceptionAnswer, ...]]:
    """Of the answers that a parent repeats those that are not known here.

    It had put a block aside that is given up here since, by an operator's word that the parent was gone:
    its tombstone, which the parent passed over, is told at the lane's tail.
    """
    places = {item.p: stream.piece_at(item.p) for item in welcome.exceptions if item.p > stream.acked}
    gaps = {piece.first: piece for piece in places.values() if isinstance(piece, Gap)}
    told = [item for gap in gaps.values() for item in gap.ranges]
    tell(state, stream, told, draft)
    alarms = []
    if told:
        readings = sum(item.readings for item in told)
        detail = f"{stream.key}: the parent has had blocks that are given up here, {readings} readings"
        alarms.append(Alarm("given_up", detail))
    new = (
        item
        for item in welcome.exceptions
        if not isinstance(places.get(item.p), Gap) and item.p not in stream.elsewhere
    )
    return alarms, tuple(new)


def known_chain(state: State, stream: Stream, p: int) -> bytes | None:
    """Chain value after p, from the stream or from its history."""
    value = stream.chain_at(p)
    if value is None and stream.key in state.history:
        value = state.history[stream.key].chain_at(p)
    if value is None:
        value = next((gap.chain for gap in stream.told if gap.last == p), None)
    return value


def rewind(
    state: State, stream: Stream, p: int, chain_value: bytes, draft: DraftLike, *, returns: bool = True
) -> list[Alarm]:
    """The parent has only p of what was acknowledged: take back what is here, book the rest unknown.

    One that is not the last that answered (not `returns`) need not have lost anything: another may have what
    it lacks. But it may have, and nobody knows how far it had come: it is sent again what is here, too.
    """
    priority, acked = stream.key.priority, stream.acked
    if returns:
        alarms = [Alarm("parent_went_back", f"{stream.key}: acknowledged {acked}, has {p}")]
    else:
        alarms = [Alarm("earlier_parent", f"{stream.key}: has {p}, others have answered up to {acked} since")]
    start, gap_to = p, 0
    ranges: tuple[GapRange, ...] = ()
    if p < stream.floor:
        start = gap_to = stream.floor
        ranges, lost = lost_ranges(state, stream, p + 1, gap_to)
        readings, size = sum(r.readings for r in lost), sum(r.payload_bytes for r in lost)
        draft.book(Account.COMMITTED, "", priority, "", -readings, -size)
        draft.book(Account.UNKNOWN_BY_RESTORE, "", priority, "", readings, size)
        state.asked += lost
        alarms.append(Alarm("unknown_by_restore", f"{stream.key}: {p + 1} to {gap_to}, {readings} readings"))
    elif known_chain(state, stream, p) is None:
        extent = stream.piece_at(p)
        assert isinstance(extent, Extent)
        stream.verify, stream.verify_same = Answer(stream.key, p, chain_value), False
        start = p = extent.first - 1
        chain_value = extent.info.chain_from
    booked = _unbook(stream, start, draft)
    write(state, records.Rewound(stream.key, p, chain_value, gap_to, ranges, booked), draft)
    return alarms


def _take_all_back(state: State, stream: Stream, draft: DraftLike) -> None:
    """What this parent had answered and is here is unanswered again, lest it be given up as what is safe.

    Of a fork nobody knows where it begins, so nobody knows which of it the parent still has.
    """
    p = max(stream.floor, stream.base)
    chain_value = stream.chain_at(p)
    if p < stream.acked and chain_value is not None:
        booked = _unbook(stream, p, draft)
        write(state, records.Rewound(stream.key, p, chain_value, booked=booked), draft)


def _unbook(stream: Stream, p: int, draft: DraftLike) -> int:
    """Take what was answered above p out of `committed`; up to where it stays there, or 0."""
    back = _back(stream, max(p, stream.booked) + 1, stream.acked)
    if back is None:
        return stream.acked
    book_out(draft, Account.COMMITTED, stream.key.priority, -back[0], -back[1])
    return 0


def _back(stream: Stream, p_from: int, p_to: int) -> tuple[int, int] | None:
    """Readings and bytes that the parent has lost and that are here; None where only headers can tell.

    Those are headers in a file of a version that did not write how much is in each block.
    """
    for piece in stream.pieces:
        if isinstance(piece, Extent) and not piece.info.each and piece.last >= p_from and piece.first <= p_to:
            return None
    return standing(stream, p_from, p_to)


def freeze(state: State, stream: Stream, kind: str, detail: str, draft: DraftLike) -> list[Alarm]:
    """Send nothing more of a stream whose positions mean something else to the parent."""
    write(state, records.Frozen(stream.key, f"{kind}: {detail}"), draft)
    stream.frozen_told = True
    return [Alarm(kind, f"{stream.key}: {detail}; kept here, nothing more of it is sent")]


def verify(state: State, stream: Stream, now: Instant, draft: DraftLike) -> list[Alarm]:
    """Compare the parent's position once its page is in."""
    if stream.verify is None:
        return []
    answer, p = stream.verify, stream.verify.p
    if stream.absent(stream.acked + 1, p) is not None:
        return []
    stream.verify = None
    if stream.chain_at(p) != answer.chain:
        if not stream.verify_same:
            _take_all_back(state, stream, draft)
        return freeze(state, stream, "fork", f"at position {p} the parent has another chain value", draft)
    stream.sent = stream.claimed = p
    alarms = settle(state, stream, answer, now, draft)
    _restart(stream)
    if stream.verify_same and stream.uncertain > p:
        write(state, records.Touchable(stream.key, p), draft)
    return alarms


def _restart(stream: Stream) -> None:
    stream.claimed = stream.sent = stream.acked
    for piece in stream.pieces:
        if isinstance(piece, Extent):
            if piece.rows is not None and piece.rows.first > max(piece.first, stream.acked + 1):
                piece.rewind()
            piece.asked = False
