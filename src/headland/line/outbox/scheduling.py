"""Which block goes next: live before backlog with a share kept for backlog, then class, then age of epoch.

Sharing is a deficit in bytes. While both lanes have something to send, every live byte earns backlog
share / (1 - share) bytes; when the earnings cover backlog's next block it goes first. What one lane does not
use the other takes, so the share is a floor for backlog under load and no ceiling on an idle link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headland.line.outbox import records, settling
from headland.line.outbox.rows import Rows
from headland.line.outbox.settings import Sync
from headland.line.outbox.state import State
from headland.line.outbox.stream import Extent, Gap, Stream
from headland.link.contract import BlockEntry, DraftLike, GapEntry, PageIn, SendEntry
from headland.vocabulary import Instant, Lane, Priority, Reason

RUN = 1000
"""Blocks given up or parked in one commit."""
EARNED_MAX = 64 * 1024
"""Bytes that backlog may have earned."""
GAP_BYTES = 64

Hold = Callable[[Stream, int, DraftLike], None]
Head = tuple[Stream, SendEntry | PageIn, int]


class Scheduler:
    """Chooses the next entry of an outbox's streams.

    Attributes:
        needs_wake: A head has to be expired or parked, or more backlog allowed, in a commit.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._earned = 0.0
        self._lists: dict[tuple[int, int], list[Stream]] = {}
        self._version = -1
        self._blocked: dict[Stream, str] = {}

    @property
    def needs_wake(self) -> bool:
        """See the class."""
        return bool(self._blocked)

    def reset(self) -> None:
        """Positions were compared anew."""
        self._version = -1
        self._blocked.clear()
        self._earned = 0.0

    def next(
        self, credit: Sequence[int], backlog_credit: Sequence[int], age_ms: int
    ) -> SendEntry | PageIn | None:
        """The next entry, claimed; None when nothing may be sent."""
        live = self._head(Lane.LIVE, credit, age_ms)
        backlog = self._head(Lane.BACKLOG, backlog_credit, age_ms)
        if live is None or backlog is None:
            chosen = live or backlog
            if live is None:
                self._earned = 0.0
        else:
            chosen = backlog if self._earned >= backlog[2] else live
            share = self._state.settings.backlog_share
            if chosen is live and share < 1:
                self._earned = min(EARNED_MAX, self._earned + live[2] * share / (1 - share))
            elif share < 1:
                self._earned -= backlog[2]
        if chosen is None:
            return None
        stream, entry, _ = chosen
        match entry:
            case PageIn():
                extent = stream.piece_at(entry.p)
                if isinstance(extent, Extent):
                    extent.asked = True
            case BlockEntry():
                stream.claimed = entry.p
            case GapEntry():
                stream.claimed = entry.p_to
        return entry

    def _head(self, lane: Lane, credit: Sequence[int], age_ms: int) -> Head | None:
        for priority in Priority:
            if credit[priority] <= 0 or len(self._state.waiting) >= self._state.settings.waiting_max:
                continue
            for stream in self._streams(lane, priority):
                if stream.frozen or stream.claimed >= stream.durable:
                    continue
                head = None if stream in self._blocked else self._head_of(stream, age_ms)
                if head is not None:
                    return head
                break  # a younger epoch does not overtake one that waits for a commit or for its headers
        return None

    def _head_of(self, stream: Stream, age_ms: int) -> Head | None:
        p = stream.claimed + 1
        if stream.verify is not None:
            extent = stream.absent(stream.acked + 1, stream.verify.p)
            if extent is None:
                self._blocked[stream] = "verify"
            return self._page(stream, extent)
        if stream.frozen or (stream.held_from and p >= stream.held_from) or not self._released(stream, p):
            return None
        piece = stream.piece_at(p)
        if isinstance(piece, Gap):
            gap = GapEntry(stream.key, piece.first, piece.last, piece.chain, piece.ranges)
            return stream, gap, GAP_BYTES * (1 + len(piece.ranges))
        why = self._obstacle(stream, p, age_ms)
        if why:
            self._blocked[stream] = why
            return None
        rows = stream.rows_at(p)
        if rows is None:
            return self._page(stream, piece)
        row = rows.row(p)
        if p in stream.elsewhere:
            return stream, GapEntry(stream.key, p, p, row.chain, ()), GAP_BYTES
        size = row.length or row.size
        origin = self._state.idents[row.ident][0]
        return (
            stream,
            BlockEntry(stream.key, p, row.ref, row.born_ms, size, row.digest, origin, row.chain),
            size,
        )

    def _page(self, stream: Stream, piece: object) -> Head | None:
        if not isinstance(piece, Extent) or piece.asked:
            return None
        count = min(self._state.settings.page, piece.last - piece.next_p + 1)
        return stream, PageIn(stream.key, piece.info.file, piece.next_at, piece.next_p, count), 0

    def _released(self, stream: Stream, p: int) -> bool:
        on_demand = self._state.settings.classes[stream.key.priority].sync is Sync.ON_DEMAND
        return not on_demand or p <= stream.released

    def _obstacle(self, stream: Stream, p: int, age_ms: int) -> str:
        """Why a commit has to come before the head of a stream, or ""."""
        if stream.key.lane == Lane.BACKLOG and p > stream.horizon:
            return "horizon"
        rows = stream.rows_at(p)
        if p < stream.touchable or p in stream.elsewhere:
            return ""
        if rows is None:
            extent = stream.piece_at(p)
            if isinstance(extent, Extent) and extent.first == p and stream.may_go_unread(extent):
                return "extent" if self._expired(stream, extent.info.youngest_ms, age_ms) else ""
            return ""
        if self._expired(stream, rows.born_at(p), age_ms):
            return "ttl"
        if self._state.parked and self._state.idents[rows.row(p).ident][0] in self._state.parked:
            return "parked"
        return ""

    def _expired(self, stream: Stream, born_ms: int, age_ms: int) -> bool:
        ttl = self._state.settings.classes[stream.key.priority].ttl_s
        return ttl is not None and age_ms - born_ms > ttl * 1000

    def tend(self, age_ms: int, now: Instant, draft: DraftLike, hold: Hold) -> None:
        """Clear what stands in front of the heads, in the open commit."""
        blocked, self._blocked = self._blocked, {}
        for stream, why in blocked.items():
            p = stream.claimed + 1
            if why == "verify":
                continue
            if self._obstacle(stream, p, age_ms) != why:
                continue
            piece, rows = stream.piece_at(p), stream.rows_at(p)
            if why == "horizon":
                horizon = p - 1 + self._state.settings.horizon
                settling.write(self._state, records.HorizonAt(stream.key, horizon), draft)
            elif why == "extent" and isinstance(piece, Extent):
                settling.give_up_extent(self._state, stream, piece, Reason.EXPIRED, draft)
            elif rows is not None:
                last = self._same_obstacle(stream, rows, p, why, age_ms)
                if why == "ttl":
                    settling.give_up(self._state, stream, p, last, Reason.EXPIRED, draft)
                else:
                    settling.park(self._state, stream, p, last, now, draft)
            hold(stream, p, draft)

    def _same_obstacle(self, stream: Stream, rows: Rows, p: int, why: str, age_ms: int) -> int:
        last = p
        end = min(rows.last, stream.durable, p + RUN - 1)
        while last < end and self._obstacle_at(stream, rows, last + 1, why, age_ms):
            last += 1
        return last

    def _obstacle_at(self, stream: Stream, rows: Rows, p: int, why: str, age_ms: int) -> bool:
        if p in stream.elsewhere:
            return False
        if why == "ttl":
            return self._expired(stream, rows.born_at(p), age_ms)
        return self._state.idents[rows.row(p).ident][0] in self._state.parked

    def _streams(self, lane: int, priority: int) -> list[Stream]:
        if self._version != self._state.version:
            self._version = self._state.version
            self._lists = {}
            current = self._state.current
            for stream in self._state.streams():
                key = stream.key
                if not stream.drained or (current is not None and key.epoch == current.epoch):
                    self._lists.setdefault((key.lane, key.priority), []).append(stream)
        return self._lists.get((lane, priority), [])
