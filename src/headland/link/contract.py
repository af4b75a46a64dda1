"""What the sender's state (`headland.line.outbox`) and both ends of the link agree on.

Words (DELIVERY.md sections 1 and 4):

* A *stream* is (class, lane) of one sender in one of its epochs: a FIFO of positions p = 1, 2, 3 ...
* Its *chain value* after p is `chain(value after p - 1, identity of the block at p, its digest)`; it starts
  as 16 zero bytes. A tombstone stands at the positions of the blocks that it replaces and states the
  chain value at its end, so the value at every block's position is the same whether it travelled or not.
* Every position is answered once: `Committed`, `Later` or `Rejected`. The watermark passes all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Protocol

import msgspec

from headland.link import bounds
from headland.vocabulary import Account, Instant, Lane, Priority, Reason

START = bytes(16)
"""Chain value before the first position of a stream."""
CHAIN_BYTES = 16
CHAIN_SHOWN = 8
"""Bytes of a chain value in an ack: enough to notice a parent that guesses (2^-64), half the cost."""
GROUPS_MAX = 16
"""Series groups a tombstone names; more are written as ("any",)."""
ANY_GROUP = ("any",)


class StreamKey(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Names a stream of one sender.

    Attributes:
        epoch: The sender's epoch, 16 bytes.
        priority: Class, 0-3.
        lane: 0 live, 1 backlog.
    """

    epoch: bytes
    priority: bounds.ClassNumber
    lane: bounds.LaneNumber

    def __str__(self) -> str:
        return f"{Priority(self.priority).name.lower()}/{Lane(self.lane).name.lower()}@{self.epoch[:4].hex()}"


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a stream stands: the last position and the chain value after it."""

    p: bounds.Number = 0
    chain: bytes = START


class LaterReason(IntEnum):
    """Why a parent does not take a block now."""

    BUSY = 1
    FULL = 2
    NOT_AUTHORISED = 3
    NOT_APPLICABLE_YET = 4


class RejectReason(IntEnum):
    """Why a parent will never take a block."""

    MALFORMED = 1
    TOO_LARGE = 2
    DIGEST = 3
    FORK = 4


class Later(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Not now: the block re-enters its lane's tail after a while.

    Attributes:
        p: The position it was sent at.
        reason: `LaterReason` (an unknown number is treated as BUSY).
        spends: Whether this answer spends one of the block's attempts.
        after_ms: Not before this, or 0.
    """

    p: bounds.Number
    reason: bounds.Code = LaterReason.BUSY
    spends: bool = False
    after_ms: bounds.Delay = 0


class Rejected(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Never: final in every class.

    Attributes:
        p: The position it was sent at.
        reason: `RejectReason`.
    """

    p: bounds.Number
    reason: bounds.Code = RejectReason.MALFORMED


ExceptionAnswer = Later | Rejected


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """Answers up to and with p: everything that is not an exception is committed.

    Attributes:
        stream: Which stream.
        p: Cumulative watermark.
        chain: The first `CHAIN_SHOWN` bytes (or all) of the chain value after p.
        exceptions: Positions at or below p that were not committed, ascending.
    """

    stream: StreamKey
    p: int
    chain: bytes
    exceptions: tuple[ExceptionAnswer, ...] = ()


class Ref(msgspec.Struct, frozen=True, array_like=True):
    """Where a block's header and body are; only the node core knows what the numbers mean.

    Attributes:
        space: A segment, a file or a commit.
        at: An offset or an index in it.
        length: Encoded bytes, or 0 when not known yet.
    """

    space: int
    at: int
    length: int = 0


class GapRange(msgspec.Struct, frozen=True, array_like=True):
    """A tombstone: blocks of one identity range that will not be sent, and why.

    Attributes:
        origin: Origin node.
        epoch: The origin's epoch, 16 bytes.
        priority: Class.
        k_from: First block.
        k_to: Last block.
        reason: `Reason`.
        readings: Readings in them.
        payload_bytes: Payload bytes in them.
        ts_min: Earliest event time, ns UTC.
        ts_max: Latest event time, ns UTC.
        groups: Up to 16 series groups, or ("any",).
        each: Of blocks that a restored parent lost: (readings, payload bytes) of each, where that is known.
        hops: Relays that it has passed; 0: whoever brings it asks of what its own parent had acknowledged.
    """

    origin: str
    epoch: bytes
    priority: bounds.ClassNumber
    k_from: bounds.Number
    k_to: bounds.Number
    reason: bounds.Code
    readings: bounds.Readings
    payload_bytes: bounds.PayloadBytes
    ts_min: bounds.TimeNs
    ts_max: bounds.TimeNs
    groups: tuple[str, ...] = ANY_GROUP
    each: tuple[tuple[bounds.Readings, bounds.PayloadBytes], ...] = ()
    hops: bounds.Hops = 0


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """What an ancestor's key table says of blocks that a restored parent had lost.

    Attributes:
        origin: Origin node.
        epoch: The origin's epoch, 16 bytes.
        priority: Class.
        k_from: First block.
        k_to: Last block.
        held: Whether it has them.
    """

    origin: str
    epoch: bytes
    priority: bounds.ClassNumber
    k_from: bounds.Number
    k_to: bounds.Number
    held: bool


class BlockEntry(msgspec.Struct, frozen=True):
    """The next thing to send: a block.

    Attributes:
        stream: Its stream.
        p: Its position.
        ref: Where it is.
        born_ms: Age clock (ms) at which its oldest row was made; age = age clock now - born_ms.
        size: Expected bytes on the link.
        digest: Digest in its header, 16 bytes.
        origin: Origin node.
        chain: Chain value after it.
    """

    stream: StreamKey
    p: int
    ref: Ref
    born_ms: int
    size: int
    digest: bytes
    origin: str
    chain: bytes


class GapEntry(msgspec.Struct, frozen=True):
    """The next thing to send: tombstones standing at positions p_from to p_to of a stream."""

    stream: StreamKey
    p_from: int
    p_to: int
    chain: bytes
    ranges: tuple[GapRange, ...]


class PageIn(msgspec.Struct, frozen=True):
    """Before more can be sent, headers of an outbox file have to be read, from `at` on.

    Attributes:
        stream: The stream that waits for them.
        file: The file, as given in `BacklogFile`.
        at: Offset of the first one.
        p: Position of the first block of this stream at or after `at`.
        count: At most so many blocks of this stream.
    """

    stream: StreamKey
    file: int
    at: int
    p: int
    count: int


SendEntry = BlockEntry | GapEntry


class EpochHello(msgspec.Struct, frozen=True, array_like=True):
    """One epoch of a child as the handshake names it.

    Attributes:
        epoch: 16 bytes.
        predecessor: The epoch before it, or b"".
        predecessor_n: Last commit of that.
        streams: Streams with at least one position.
    """

    epoch: bytes
    predecessor: bytes = b""
    predecessor_n: bounds.Number = 0
    streams: tuple[StreamHello, ...] = ()


class StreamHello(msgspec.Struct, frozen=True, array_like=True):
    """One stream of a child as the handshake names it.

    Attributes:
        priority: Class.
        lane: Lane.
        sealed: Highest position that exists.
        acked: Highest position known to be answered.
        chain: Chain value after `acked`.
        floor: Bodies at and below this are no longer here.
        floor_chain: Chain value after `floor`.
    """

    priority: bounds.ClassNumber
    lane: bounds.LaneNumber
    sealed: bounds.Number
    acked: bounds.Number
    chain: bytes
    floor: bounds.Number = 0
    floor_chain: bytes = START


class StreamWelcome(msgspec.Struct, frozen=True, array_like=True):
    """Where a parent stands in one stream of its child.

    Attributes:
        stream: The stream.
        p: Highest committed position; -1 when the parent has no history of the stream.
        chain: Chain value after p.
        exceptions: Answers that were not `Committed` and that the child has not confirmed.
        heard: Position of the last such answer that the child has confirmed, or 0 (also of an older parent).
    """

    stream: StreamKey
    p: Annotated[int, msgspec.Meta(ge=-1, le=1 << 62)] = -1
    chain: bytes = START
    exceptions: tuple[ExceptionAnswer, ...] = ()
    heard: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)] = 0


class ParentName(msgspec.Struct, frozen=True, array_like=True):
    """A parent as an outbox remembers it.

    Attributes:
        name: Name in its certificate.
        store: 16 bytes made with its data directory: another value means another (or restored empty) store.
    """

    name: str
    store: bytes


class Alarm(msgspec.Struct, frozen=True):
    """Something an operator has to see.

    Attributes:
        kind: Short stable word, e.g. "lying_ack".
        detail: One sentence.
    """

    kind: str
    detail: str


class DraftLike(Protocol):
    """The part of `headland.journal.draft.Draft` that the link and the outbox use."""

    n: int

    def state(self, owner: str, data: bytes) -> None:
        """Append a state section."""

    def section(self, type: int, data: bytes, version: int = 1) -> int:  # noqa: A002
        """Append a section; its index."""

    def book(
        self, account: Account, group: str, cls: int, rule: str, readings: int, payload_bytes: int
    ) -> None:
        """Add to one account of the books."""


class Outgoing(Protocol):
    """What a child's end of the link needs of the sender's state; `headland.line.outbox.Outbox` is one."""

    def epochs(self) -> list[EpochHello]:
        """Epochs that a parent should be asked about, oldest first, the current one last."""

    def link_up(
        self, parent: ParentName, positions: Sequence[StreamWelcome], now: Instant, draft: DraftLike
    ) -> list[Alarm]:
        """The parent has told where it stands."""

    def link_down(self, now: Instant) -> None:
        """The connection is gone."""

    def next_to_send(
        self, credit: Sequence[int], now: Instant, backlog: Sequence[int] | None = None
    ) -> SendEntry | PageIn | None:
        """The next block, tombstone or page request; claims it. `backlog`: credit of that lane."""

    def sent(self, stream: StreamKey, p: int) -> None:
        """Its first byte is about to leave."""

    def answered(self, answers: Sequence[Answer], now: Instant, draft: DraftLike) -> list[Alarm]:
        """The parent has answered."""

    def opening(self, stream: StreamKey) -> tuple[int, bytes]:
        """Position and chain value that a parent without history starts from."""

    def durable_ack(self, stream: StreamKey) -> int:
        """Last position whose answer is in a finished commit."""

    def age_clock(self, now: Instant) -> int:
        """Age clock, ms."""


REASONS = {
    Reason.EXPIRED: Account.EXPIRED,
    Reason.SHED: Account.SHED,
    Reason.CORRUPT: Account.CORRUPT,
    Reason.DEAD_LETTER: Account.DEAD,
    Reason.REJECTED: Account.DEAD,
    Reason.LOST_BY_RESTORE: Account.LOST_BY_RESTORE,
}
"""The account that a reading moves to when its block gets a tombstone."""
