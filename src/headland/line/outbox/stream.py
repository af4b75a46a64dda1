"""One stream of this node: positions, what stands at each of them, and how far each has come.

```
            floor        acked       sent/claimed      durable        tail
  bodies gone | reclaimable | unanswered | may be sent   | not yet      | next seal
              |             |            |               | committed    |
```
Laws: floor <= acked <= claimed <= durable <= tail. A position above `durable` is never handed out. What
stands at a position is a block in memory (`Rows`: its body is in the journal), a block in an outbox file
(`Extent`: one object for the whole run, headers paged in as they are needed) or a tombstone (`Gap`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from headland.blocks.digest import chain, identity_bytes
from headland.line.outbox.rows import PIECE, Row, Rows
from headland.link.contract import START, Answer, GapRange, Ref, StreamKey
from headland.vocabulary import DefectError, Lane

TOLD_MAX = 256


class BacklogFile(msgspec.Struct, frozen=True, array_like=True):
    """A run of blocks of one stream in one outbox file.

    Attributes:
        file: Number of the file.
        at: Offset of the first of them.
        p_from: First position.
        p_to: Last position.
        chain_from: Chain value before the first.
        chain_to: Chain value after the last.
        length: Bytes of these blocks in the file.
        readings: Readings in them.
        payload_bytes: Payload bytes in them.
        stamped_ms: Age clock at which the ages in their headers were written.
        youngest_ms: Age clock at which the youngest was made.
        ranges: Their identities, as tombstones would name them (reason 0).
        skipped: Identities at the front of `ranges` that were cut off the run.
        each: Readings and payload bytes of each block in `ranges`, in turn, as a msgpack array: what is lost
            with headers that cannot be read. b"" from a version that did not tell.
    """

    file: int
    at: int
    p_from: int
    p_to: int
    chain_from: bytes
    chain_to: bytes
    length: int
    readings: int
    payload_bytes: int
    stamped_ms: int
    youngest_ms: int
    ranges: tuple[GapRange, ...]
    skipped: int = 0
    each: bytes = b""


class Cut(msgspec.Struct, frozen=True, array_like=True):
    """Where positions were cut out of a run in a file.

    Attributes:
        before: Chain value before the first of them, or b"".
        at: Offset in the file of the block behind the last of them, 0 when the run ends there.
        after: Chain value after the last of them.
    """

    before: bytes = b""
    at: int = 0
    after: bytes = b""


class Extent:
    """A `BacklogFile` and the part of its headers that is in memory.

    Attributes:
        info: What it is.
        rows: Paged-in blocks, or None.
        next_at: Offset in the file of the next header to page in.
        next_p: Its position.
        tip: Chain value before it.
        asked: A page has been asked for.
        whole: Its totals and identities are exact: nothing has been cut off it.
    """

    __slots__ = ("asked", "info", "next_at", "next_p", "rows", "tip", "whole")

    def __init__(self, info: BacklogFile, whole: bool = True) -> None:
        self.info = info
        self.whole = whole
        self.rows: Rows | None = None
        self.next_at = info.at
        self.next_p = info.p_from
        self.tip = info.chain_from
        self.asked = False

    @property
    def first(self) -> int:
        """First position."""
        return self.info.p_from

    @property
    def last(self) -> int:
        """Last position."""
        return self.info.p_to

    def rewind(self) -> None:
        """Read it from its start again."""
        self.rows = None
        self.next_at = self.info.at
        self.next_p = self.info.p_from
        self.tip = self.info.chain_from
        self.asked = False

    def hold(self, rows: Rows, next_at: int) -> None:
        """Take over headers that are in memory; `next_at` is the offset behind them."""
        self.rows = rows
        self.next_at = next_at
        self.next_p = rows.last + 1
        self.tip = rows.chain_at(rows.last)


class Gap(msgspec.Struct, frozen=True, array_like=True):
    """Tombstones at positions first to last.

    Attributes:
        first: First position.
        last: Last position.
        chain: Chain value after the last.
        ranges: What was given up; empty when the blocks only moved to other positions.
        skipped: Of a run in a file that is gone: as in `BacklogFile`.
        each: Of such a run: as in `BacklogFile`.
    """

    first: int
    last: int
    chain: bytes
    ranges: tuple[GapRange, ...]
    skipped: int = 0
    each: bytes = b""


Piece = Rows | Extent | Gap


class Stream:
    """Positions of one (epoch, class, lane) of this node.

    Attributes:
        key: Which.
        pieces: What stands where, in order of position, without holes above `floor`.
        tail: Last position that exists.
        tail_chain: Chain value after it.
        durable: Last position in a finished commit.
        claimed: Last position handed out on this connection.
        sent: Last position whose bytes left on this connection.
        acked: Last answered position.
        booked: Re-sent positions up to here are in the account `committed` already.
        elsewhere: Positions whose blocks were put aside or given up when they were answered: never in the
            account `committed`, and sent as places without a block when the parent has gone back. Known as
            long as anything else is of what stood there.
        acked_durable: The same, as far as it is in a finished commit.
        acked_chain: Chain value after it.
        floor: Bodies at and below are gone.
        floor_chain: Chain value after it.
        base: Up to here earlier parents have answered: the present one cannot have lost it.
        base_chain: Chain value after it.
        horizon: Backlog: a durable note allows sending up to here.
        uncertain: Positions above acked and up to here may have reached the parent.
        foreign: The same for a parent that is no longer ours.
        told: Answered tombstones and runs of files (reason 0) below the floor, newest 256, so that a parent
            which goes back can be told what is gone.
        frozen: The parent knows other blocks at these positions: nothing more is sent.
        frozen_why: Why, for people.
        theirs: Position and chain value that the parent told of a frozen stream in this process, or None.
        stated_n: Commit that last said where this stream stands.
        frozen_told: That an operator was told so by this process.
        released: On-demand classes: sent up to here.
        live: Unanswered live positions: (p, sealed at ns, bytes).
        live_bytes: Sum of those bytes.
        held_from: From here on a commit has to end first, or 0.
        held_n: That commit.
        verify: What a parent said of positions whose headers are not all in memory, or None.
        verify_same: Whether that parent is the one that the last positions were compared with.
    """

    def __init__(self, key: StreamKey) -> None:
        self.key = key
        self.pieces: list[Piece] = []
        self.tail = 0
        self.tail_chain = START
        self.durable = 0
        self.claimed = 0
        self.sent = 0
        self.acked = 0
        self.acked_durable = 0
        self.booked = 0
        self.elsewhere: set[int] = set()
        self.acked_chain = START
        self.floor = 0
        self.floor_chain = START
        self.base = 0
        self.base_chain = START
        self.horizon = 0
        self.uncertain = 0
        self.foreign = 0
        self.told: list[Gap] = []
        self.frozen = False
        self.frozen_why = ""
        self.stated_n = 0
        self.theirs: tuple[int, bytes] | None = None
        self.frozen_told = False
        self.released = 0
        self.live: deque[tuple[int, int, int]] = deque()
        self.live_bytes = 0
        self.held_from = 0
        self.held_n = 0
        self.verify: Answer | None = None
        self.verify_same = False

    def begin_at(self, p: int, chain_value: bytes) -> None:
        """Forget what stood here: the next position is the one behind p, by what the parent has told."""
        self.__init__(self.key)  # type: ignore[misc]
        for name in (
            "tail",
            "durable",
            "claimed",
            "sent",
            "acked",
            "acked_durable",
            "floor",
            "horizon",
            "base",
        ):
            setattr(self, name, p)
        self.tail_chain = self.acked_chain = self.floor_chain = self.base_chain = chain_value

    @property
    def drained(self) -> bool:
        """Whether every position has been answered."""
        return self.acked >= self.tail

    @property
    def touchable(self) -> int:
        """First position whose block may be given up: nobody else can have it."""
        return max(self.acked, self.uncertain, self.foreign, self.claimed, self.booked) + 1

    def unknown(self, *, foreign_only: bool) -> int:
        """Positions of unknown outcome: a parent may have them, or one that is no longer ours."""
        last = self.foreign if foreign_only else max(self.foreign, self.uncertain)
        return max(0, min(last, self.tail) - self.acked)

    def may_go_unread(self, extent: Extent) -> bool:
        """Whether every block of a run in a file stands here and nowhere else: all may be given up as one."""
        return extent.whole and not any(extent.first <= p <= extent.last for p in self.elsewhere)

    def append(self, row: Row, origin: str, epoch: bytes) -> int:
        """Place a block at the tail; its position. The row's chain value is set here."""
        identity = identity_bytes(origin, epoch, self.key.priority, row.k)
        self.tail_chain = chain(self.tail_chain, identity, row.digest)
        self.tail += 1
        last = self.pieces[-1] if self.pieces else None
        if not isinstance(last, Rows) or self.tail % PIECE == 1:
            last = Rows(self.tail)
            self.pieces.append(last)
        last.append(msgspec.structs.replace(row, chain=self.tail_chain))
        return self.tail

    def append_gap(self, after: bytes, ranges: tuple[GapRange, ...]) -> Gap:
        """Place a tombstone at the tail; `after` is the chain value behind it."""
        self.tail += 1
        self.tail_chain = after
        gap = Gap(self.tail, self.tail, after, ranges)
        self.pieces.append(gap)
        return gap

    def hole(self, p: int, chain_value: bytes) -> None:
        """What stood at the positions up to p is missing from the log; the chain value after it is known."""
        self.pieces.append(Gap(self.tail + 1, p, chain_value, ()))
        self.tail, self.tail_chain = p, chain_value

    def noted_live(self, now_ns: int, size: int) -> None:
        """The block at the tail is live, from now on until it is answered."""
        if self.key.lane == Lane.LIVE:
            self.live.append((self.tail, now_ns, size))
            self.live_bytes += size

    def piece_at(self, p: int) -> Piece | None:
        """What stands at p, or None (gone or not yet there)."""
        pieces = self.pieces
        low, high = 0, len(pieces)
        while low < high:
            middle = (low + high) // 2
            if pieces[middle].last < p:
                low = middle + 1
            else:
                high = middle
        if low < len(pieces) and pieces[low].first <= p:
            return pieces[low]
        return None

    def rows_at(self, p: int) -> Rows | None:
        """The columns that hold the block at p, when they are in memory."""
        match self.piece_at(p):
            case Rows() as rows:
                return rows
            case Extent(rows=Rows() as rows) if rows.first <= p <= rows.last:
                return rows
            case _:
                return None

    def chain_at(self, p: int) -> bytes | None:
        """Chain value after p, or None when it is not in memory."""
        if p == self.tail:
            return self.tail_chain
        if p == self.acked:
            return self.acked_chain
        if p == self.floor:
            return self.floor_chain
        if p == self.base:
            return self.base_chain
        rows = self.rows_at(p)
        if rows is not None:
            return rows.chain_at(p)
        match self.piece_at(p):
            case Extent() as extent if p == extent.last:
                return extent.info.chain_to
            case Gap() as gap if p == gap.last:
                return gap.chain
        following = self.piece_at(p + 1)
        if isinstance(following, Extent) and following.first == p + 1:
            return following.info.chain_from
        return START if p == 0 else None

    def absent(self, p_from: int, p_to: int) -> Extent | None:
        """The first run in a file of which headers at p_from to p_to are not in memory."""
        for piece in self.pieces:
            if piece.first > p_to:
                break
            if piece.last < p_from or not isinstance(piece, Extent):
                continue
            first, last = max(piece.first, p_from), min(piece.last, p_to)
            if piece.rows is None or piece.rows.first > first or piece.rows.last < last:
                return piece
        return None

    def acked_to(self, p: int, chain_value: bytes) -> None:
        """Move the watermark."""
        self.acked = p
        self.acked_chain = chain_value
        self.claimed = max(self.claimed, p)
        self.sent = max(self.sent, p)
        self.durable = max(self.durable, p)
        live = self.live
        while live and live[0][0] <= p:
            self.live_bytes -= live.popleft()[2]
        for piece in self.pieces:
            if piece.first > p:
                break
            if isinstance(piece, Extent) and piece.rows is not None:
                piece.rows.drop_to(p)
                if piece.last <= p:
                    piece.rows = None

    def cut_of(self, first: int, last: int) -> Cut:
        """What a replay must know to cut first to last out of a run in a file that it has not read."""
        before = self.chain_at(first - 1) or b""
        piece, rows = self.piece_at(last), self.rows_at(last)
        if not isinstance(piece, Extent) or rows is None or last >= piece.last:
            return Cut(before)
        return Cut(before, rows.row(last + 1).at if last < rows.last else piece.next_at, rows.chain_at(last))

    def replace(self, first: int, last: int, piece: Piece | None, cut: Cut | None = None) -> None:
        """Let `piece` stand at first to last, where whole pieces or parts of others stood."""
        value = self.chain_at(first - 1) or (cut.before if cut is not None else None) or None
        out: list[Piece] = []
        placed = False
        for old in self.pieces:
            if old.last < first or old.first > last:
                if old.first > last and not placed:
                    placed = True
                    if piece is not None:
                        out.append(piece)
                out.append(old)
                continue
            covers = old.last >= last
            before, after = _around(old, first, last, value, cut)
            if before is not None:
                out.append(before)
            if not placed and covers:
                placed = True
                if piece is not None:
                    out.append(piece)
            if after is not None:
                out.append(after)
        if not placed and piece is not None:
            out.append(piece)
        self.pieces = out

    def forget_to(self, p: int) -> None:
        """Bodies at and below p are gone."""
        value = self.chain_at(p)
        if value is None or p > self.acked:
            raise DefectError(f"stream {self.key}: position {p} may not be forgotten")
        if p <= self.floor:
            return
        self.floor, self.floor_chain = p, value
        kept: list[Piece] = []
        for piece in self.pieces:
            if piece.last <= p:
                if isinstance(piece, Gap) and piece.ranges:
                    self.told.append(piece)
                elif isinstance(piece, Extent):
                    info = piece.info
                    self.told.append(
                        Gap(info.p_from, info.p_to, info.chain_to, info.ranges, info.skipped, info.each)
                    )
                continue
            if isinstance(piece, Rows):
                piece.drop_to(p)
            kept.append(piece)
        self.pieces = kept
        del self.told[:-TOLD_MAX]

    def rows_held(self) -> Iterator[Rows]:
        """All columns in memory, of runs in files too."""
        for piece in self.pieces:
            if isinstance(piece, Rows):
                yield piece
            elif isinstance(piece, Extent) and piece.rows is not None:
                yield piece.rows

    def rows_pieces(self) -> Iterator[Rows]:
        """The blocks whose bodies are in the journal."""
        return (piece for piece in self.pieces if isinstance(piece, Rows))


def _around(
    old: Piece, first: int, last: int, value: bytes | None, cut: Cut | None
) -> tuple[Piece | None, Piece | None]:
    """What is left of `old` before `first` and after `last`."""
    before: Piece | None = None
    after: Piece | None = None
    if isinstance(old, Rows):
        rest = old
        if old.first < first:
            before, rest = old, old.split_after(first - 1)
        if rest.last > last:
            after = rest.split_after(last)
        return before, after
    if isinstance(old, Extent):
        return _around_extent(old, first, last, value, cut)
    if old.first < first or old.last > last:
        raise DefectError(f"positions {first} to {last} cut a tombstone from {old.first} to {old.last}")
    return None, None


def _around_extent(
    old: Extent, first: int, last: int, value: bytes | None, cut: Cut | None
) -> tuple[Extent | None, Extent | None]:
    """Cut an extent where its headers are in memory (or not at all)."""
    info, rows = old.info, old.rows
    before = after = None
    if old.last > last:
        if rows is not None and rows.first <= last <= rows.last:
            at, after_chain = rows.row(last + 1).at if last < rows.last else old.next_at, rows.chain_at(last)
        elif cut is not None and cut.at:
            at, after_chain = cut.at, cut.after
        else:
            raise DefectError(f"file {info.file} cannot be cut after {last}")
        skipped = info.skipped + last + 1 - info.p_from
        rest = msgspec.structs.replace(
            info, p_from=last + 1, at=at, chain_from=after_chain, skipped=skipped,
            length=info.length - (at - info.at),
        )  # fmt: skip
        after = Extent(rest, whole=False)
        if rows is not None and rows.first <= last < rows.last:
            after.hold(rows.split_after(last), old.next_at)
    if old.first < first:
        if value is None:
            raise DefectError(f"file {info.file} cannot be cut before {first}")
        before = Extent(msgspec.structs.replace(info, p_to=first - 1, chain_to=value), whole=False)
        if rows is not None and len(rows) and rows.first < first:
            if rows.last >= first:
                rows.split_after(first - 1)
            before.hold(rows, old.next_at)
    return before, after


def extent_of(
    rows: Rows,
    p_from: int,
    p_to: int,
    chain_from: bytes,
    refs: list[Ref],
    stamped_ms: int,
    ranges: tuple[GapRange, ...],
) -> BacklogFile:
    """Describe blocks that now stand in an outbox file at `refs`."""
    readings, payload_bytes = rows.totals(p_from, p_to)
    return BacklogFile(
        file=refs[0].space,
        at=refs[0].at,
        p_from=p_from,
        p_to=p_to,
        chain_from=chain_from,
        chain_to=rows.chain_at(p_to),
        length=sum(ref.length for ref in refs),
        readings=readings,
        payload_bytes=payload_bytes,
        stamped_ms=stamped_ms,
        youngest_ms=max(rows.born_at(p) for p in range(p_from, p_to + 1)),
        ranges=ranges,
        each=msgspec.msgpack.encode(
            [n for row in rows.rows_between(p_from, p_to) for n in (row.rows, row.size)]
        ),
    )
