"""What waits for the parent, and what was given up: read from the outbox, which is not changed by looking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headland.line.outbox.records import DeadRun
from headland.line.outbox.rows import Rows
from headland.line.outbox.stream import Extent, Gap, Stream
from headland.link.contract import StreamKey
from headland.vocabulary import NO_TIME, Account, Instant, Lane, Priority, Reason

if TYPE_CHECKING:
    from headland.line.outbox import Outbox
    from headland.node.core import Node


class LaneQueue(msgspec.Struct, kw_only=True):
    """What one class has waiting in one lane, over all epochs.

    Attributes:
        row_class: critical, high, normal or low.
        lane: live or backlog.
        blocks: Blocks without an answer, those that wait for another attempt among them.
        readings: Readings in them. A file of which only a part is answered is counted in proportion.
        bytes: Payload bytes in them, likewise.
        oldest_s: Age of the block at the head, seconds; None when nothing waits. Of a head in a file whose
            headers are not in memory the age of that file's youngest block is given: it is at least so old.
        later: Blocks that the parent has answered with "later", waiting for their next attempt.
        in_files: Blocks whose body is in an outbox file and no longer in the journal.
        tombstones: Positions that only tell what was given up.
    """

    row_class: str
    lane: str
    blocks: int = 0
    readings: int = 0
    bytes: int = 0
    oldest_s: float | None = None
    later: int = 0
    in_files: int = 0
    tombstones: int = 0


class StreamQueue(msgspec.Struct, frozen=True, kw_only=True):
    """Positions of one stream.

    Attributes:
        epoch: Of this node, hex.
        row_class: Class.
        lane: Lane.
        sealed: Last position in a finished commit.
        sent: Last position whose bytes left on this connection.
        confirmed: Last position that the parent has answered.
        noted: The same, as far as this node has it on disk.
        stopped: Why nothing more is sent, or "".
    """

    epoch: str
    row_class: str
    lane: str
    sealed: int
    sent: int
    confirmed: int
    noted: int
    stopped: str


class QueueReport(msgspec.Struct, frozen=True, kw_only=True):
    """The queue of a node.

    Attributes:
        parent: Whom it last compared positions with; "" for nobody yet.
        link: Phase of the link; "none" at a root.
        pending: What the books say of each class, exactly.
        unsealed: Rows of each class that are in no block yet.
        lanes: What waits, per class and lane.
        streams: Streams of the current epoch and of all that are not drained.
        parked: Origins that the parent does not accept at present.
        dead: Dead letters listed.
        file_bytes: Bytes in outbox files (at a root: in its store).
    """

    parent: str
    link: str
    pending: dict[str, int]
    unsealed: dict[str, int]
    lanes: list[LaneQueue]
    streams: list[StreamQueue]
    parked: list[str]
    dead: int
    file_bytes: int


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A block that was given up, or a run of blocks in a file; `number` sends it again.

    Of a run, `k` is the first number of its first origin.
    """

    number: int
    origin: str
    epoch: str
    row_class: str
    lane: str
    k: int
    readings: int
    bytes: int
    reason: str
    ts_min: int | None
    ts_max: int | None
    blocks: int = 1


def name_of(number: int) -> str:
    """A class by its name."""
    return Priority(number).name.lower()


def name_of_stream(key: StreamKey) -> str:
    """A stream by its name in lists and orders."""
    return f"{key.epoch.hex()[:8]}/{name_of(key.priority)}/{Lane(key.lane).name.lower()}"


def queue_of(node: Node, now: Instant) -> QueueReport:
    """What waits at a node now."""
    parts = node.parts
    outbox, uplink = parts.north.outbox, parts.north.uplink
    state = outbox.state if outbox is not None else None
    return QueueReport(
        parent=state.parent.name if state is not None and state.parent is not None else "",
        link="none" if uplink is None else str(uplink.phase.value),
        pending={
            name_of(priority): parts.ledger.total(Account.PENDING, int(priority))[0] for priority in Priority
        },
        unsealed={name_of(priority): len(parts.sealing.open[priority]) for priority in Priority},
        lanes=_lanes(outbox, outbox.age_clock(now)) if outbox is not None else [],
        streams=_streams(outbox) if outbox is not None else [],
        parked=sorted(state.parked) if state is not None else [],
        dead=len(state.dead) + len(state.dead_runs) if state is not None else 0,
        file_bytes=parts.shelving.files.used_bytes,
    )


def dead_letters_of(outbox: Outbox) -> list[DeadLetter]:
    """What was given up and may be sent again, oldest first."""
    return [
        DeadLetter(
            number=item.number,
            origin=item.letter.origin,
            epoch=item.letter.epoch.hex(),
            row_class=name_of(item.priority),
            lane=Lane(item.lane).name.lower(),
            k=item.letter.row.k,
            readings=item.letter.row.rows,
            bytes=item.letter.row.size,
            reason=Reason(item.reason).name.lower(),
            ts_min=None if item.letter.row.ts_min == NO_TIME else item.letter.row.ts_min,
            ts_max=None if item.letter.row.ts_max == NO_TIME else item.letter.row.ts_max,
        )
        for item in outbox.dead_letters()
    ] + [_run(run) for run in outbox.dead_runs()]


def _run(run: DeadRun) -> DeadLetter:
    first = run.info.ranges[0]
    lows = [item.ts_min for item in run.info.ranges if item.ts_min != NO_TIME]
    highs = [item.ts_max for item in run.info.ranges if item.ts_max != NO_TIME]
    return DeadLetter(
        number=run.number,
        origin=first.origin,
        epoch=first.epoch.hex(),
        row_class=name_of(run.priority),
        lane=Lane(run.lane).name.lower(),
        k=first.k_from,
        readings=run.info.readings,
        bytes=run.info.payload_bytes,
        reason=Reason(run.reason).name.lower(),
        ts_min=min(lows, default=None),
        ts_max=max(highs, default=None),
        blocks=run.blocks,
    )


def _lanes(outbox: Outbox, age_ms: int) -> list[LaneQueue]:
    lanes = {
        (priority, lane): LaneQueue(row_class=name_of(priority), lane=lane.name.lower())
        for priority in Priority
        for lane in Lane
    }
    for stream in outbox.state.streams():
        if not stream.drained:
            _count(stream, lanes[Priority(stream.key.priority), Lane(stream.key.lane)], age_ms)
    for item in outbox.state.waiting.values():
        lane = lanes[Priority(item.priority), Lane(item.lane)]
        lane.later += 1
        _add(lane, 1, item.letter.row.rows, item.letter.row.size)
        _older(lane, item.letter.row.born_ms, age_ms)
    return list(lanes.values())


def _count(stream: Stream, lane: LaneQueue, age_ms: int) -> None:
    for piece in stream.pieces:
        first = max(piece.first, stream.acked + 1)
        blocks = piece.last - first + 1
        if blocks <= 0:
            continue
        match piece:
            case Gap():
                lane.tombstones += blocks
            case Rows():
                _add(lane, blocks, *piece.totals(first, piece.last))
                _older(lane, piece.born_at(first), age_ms)
            case Extent():
                share = blocks / (piece.last - piece.first + 1)
                info, held = piece.info, piece.rows
                _add(lane, blocks, round(info.readings * share), round(info.payload_bytes * share))
                lane.in_files += blocks
                here = held is not None and held.first <= first <= held.last
                _older(lane, held.born_at(first) if held is not None and here else info.youngest_ms, age_ms)


def _add(lane: LaneQueue, blocks: int, readings: int, size: int) -> None:
    lane.blocks += blocks
    lane.readings += readings
    lane.bytes += size


def _older(lane: LaneQueue, born_ms: int, age_ms: int) -> None:
    lane.oldest_s = max(lane.oldest_s or 0.0, round((age_ms - born_ms) / 1000, 3))


def _streams(outbox: Outbox) -> list[StreamQueue]:
    return [
        StreamQueue(
            epoch=stream.key.epoch.hex(),
            row_class=name_of(stream.key.priority),
            lane=Lane(stream.key.lane).name.lower(),
            sealed=stream.durable,
            sent=stream.sent,
            confirmed=stream.acked,
            noted=stream.acked_durable,
            stopped=(stream.frozen_why or "the parent has other blocks here") if stream.frozen else "",
        )
        for stream in outbox.state.streams()
        if not stream.drained or stream.frozen or stream.key.epoch == outbox.epoch
    ]
