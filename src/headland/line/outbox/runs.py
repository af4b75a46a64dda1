"""What is known of the blocks at positions of a stream without reading them: which, and how much is in each.

A run in an outbox file names its blocks in order and says how many readings each holds; columns in memory say
so themselves. A position in `Stream.elsewhere` is passed over: its block was put aside, and counts where it
stands now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from headland.line.outbox.rows import Rows
from headland.line.outbox.stream import BacklogFile, Gap, Stream
from headland.link.contract import GapRange
from headland.vocabulary import NO_TIME, Reason

Identity = tuple[str, bytes, int]
"""(origin, epoch, k); the class is the stream's."""
Run = BacklogFile | Gap


class Missing(msgspec.Struct, frozen=True):
    """One position without a header: which block stood there, and what it held."""

    p: int
    identity: Identity
    rows: int
    size: int


def identities_of(run: Run) -> list[tuple[int, Identity]]:
    """Position and identity of every block of a run."""
    every = [(item.origin, item.epoch, k) for item in run.ranges for k in range(item.k_from, item.k_to + 1)]
    first, last = _span(run)
    return list(enumerate(every[run.skipped : run.skipped + last - first + 1], start=first))


def blocks_of(run: Run) -> list[Missing]:
    """Every block of a run; one that does not say how much is in each shares what is in its ranges."""
    if run.each:
        each: list[int] = msgspec.msgpack.decode(run.each)
    else:
        each = [n for item in run.ranges for pair in _shares(item) for n in pair]
    at = 2 * run.skipped
    return [
        Missing(p, identity, each[at + 2 * i], each[at + 2 * i + 1])
        for i, (p, identity) in enumerate(identities_of(run))
    ]


def amounts_of(info: BacklogFile, low: int, high: int) -> tuple[int, int]:
    """Readings and payload bytes at positions low to high of a run."""
    count = high - low + 1
    if info.each:
        each: list[int] = msgspec.msgpack.decode(info.each)
        at = 2 * (info.skipped + low - info.p_from)
        part = each[at : at + 2 * count]
        return sum(part[::2]), sum(part[1::2])
    blocks = sum(item.k_to - item.k_from + 1 for item in info.ranges)
    return info.readings * count // blocks, info.payload_bytes * count // blocks


def here(stream: Stream, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The positions first to last as ranges, without those whose block is elsewhere."""
    for p in range(first, last + 1) if stream.elsewhere else ():
        if p in stream.elsewhere:
            if first < p:
                yield first, p - 1
            first = p + 1
    if first <= last:
        yield first, last


def standing(stream: Stream, first: int, last: int) -> tuple[int, int]:
    """Readings and payload bytes of the blocks that stand at the positions first to last."""
    readings = size = 0
    for piece in stream.pieces:
        if isinstance(piece, Gap):
            continue
        for low, high in here(stream, max(piece.first, first), min(piece.last, last)):
            part = piece.totals(low, high) if isinstance(piece, Rows) else amounts_of(piece.info, low, high)
            readings, size = readings + part[0], size + part[1]
    return readings, size


def ranges_of(gone: Sequence[Missing], priority: int, reason: Reason) -> tuple[GapRange, ...]:
    """Tombstones for blocks: one for each run of consecutive k of one identity."""
    out: list[GapRange] = []
    for item in gone:
        origin, epoch, k = item.identity
        last = out[-1] if out else None
        if last is not None and (last.origin, last.epoch, last.k_to + 1) == (origin, epoch, k):
            out[-1] = msgspec.structs.replace(
                last,
                k_to=k,
                readings=last.readings + item.rows,
                payload_bytes=last.payload_bytes + item.size,
            )
        else:
            out.append(
                GapRange(
                    origin, epoch, priority, k, k, reason, item.rows, item.size,
                    NO_TIME, NO_TIME,
                )
            )  # fmt: skip
    return tuple(out)


def shares(total: int, parts: int) -> list[int]:
    """A total cut into whole numbers that add up to it."""
    return [total * (i + 1) // parts - total * i // parts for i in range(parts)]


def _shares(item: GapRange) -> list[tuple[int, int]]:
    count = item.k_to - item.k_from + 1
    return list(zip(shares(item.readings, count), shares(item.payload_bytes, count), strict=True))


def _span(run: Run) -> tuple[int, int]:
    return (run.p_from, run.p_to) if isinstance(run, BacklogFile) else (run.first, run.last)
