"""What both ends of the link ask of the node: plain values, executed by the core and its drivers."""

from __future__ import annotations

import msgspec

from headland.link.contract import Alarm, BlockEntry, PageIn, ParentName, StreamKey, Verdict
from headland.link.protocol import IntentStatus
from headland.link.received import ReceivedBlock, ReceivedGap
from headland.vocabulary import SeriesKey


class Dial(msgspec.Struct, frozen=True):
    """Connect to the parent; then `Uplink.connected` or `Uplink.dial_failed`."""


class Send(msgspec.Struct, frozen=True):
    """Write bytes to a connection, in order."""

    connection: int
    data: bytes


class Close(msgspec.Struct, frozen=True):
    """End a connection, after what was sent before; `reason` is for the log."""

    connection: int
    reason: str


class ReadBlock(msgspec.Struct, frozen=True):
    """Read a block; then `Uplink.block_read` or `Uplink.block_lost`."""

    entry: BlockEntry


class ReadPage(msgspec.Struct, frozen=True):
    """Read headers of an outbox file; then `Outbox.paged` and `Uplink.pump`."""

    page: PageIn


class Up(msgspec.Struct, frozen=True):
    """The link is up: positions have been compared."""

    parent: ParentName
    version: int


class Down(msgspec.Struct, frozen=True):
    """The link is down."""

    reason: str


class StoredUpTo(msgspec.Struct, frozen=True):
    """The parent's hint: the cloud has applied this stream up to p."""

    stream: StreamKey
    p: int


class PeerClock(msgspec.Struct, frozen=True):
    """The parent's clock as it came, ns UTC; the way here took at most `within_ns`."""

    wall_ns: int
    trusted: bool
    within_ns: int


class Intent(msgspec.Struct, frozen=True):
    """An intent arrived whole; answer with `Uplink.report`."""

    kind: str
    version: int
    body: bytes
    signature: bytes


class Settle(msgspec.Struct, frozen=True):
    """An ancestor settles what a restored parent lost: make it durable, then `Uplink.noted`."""

    number: int
    verdicts: tuple[Verdict, ...]


class Definitions(msgspec.Struct, frozen=True):
    """Names of series of one (origin, epoch)."""

    origin: str
    epoch: bytes
    series: tuple[tuple[int, SeriesKey], ...]


class Deliver(msgspec.Struct, frozen=True):
    """A block or tombstone of a child: make it durable in the open commit, with the definitions.

    Attributes:
        item: What came; write it with `headland.link.received.encode` after setting `lane`.
        sids: The series in a block, none for tombstones.
        definitions: Names of those that a block of this connection uses for the first time.
    """

    item: ReceivedBlock | ReceivedGap
    sids: frozenset[int]
    definitions: tuple[Definitions, ...]


class ChildUp(msgspec.Struct, frozen=True):
    """A child is connected."""

    child: str
    connection: int
    version: int


class ChildDown(msgspec.Struct, frozen=True):
    """A child is not connected any more."""

    child: str
    connection: int
    reason: str


class Reported(msgspec.Struct, frozen=True):
    """A child tells what became of an intent."""

    child: str
    status: IntentStatus


UplinkAction = (
    Dial | Send | Close | ReadBlock | ReadPage | Up | Down | PeerClock | Intent | Settle | StoredUpTo | Alarm
)
DownlinkAction = Send | Close | Deliver | ChildUp | ChildDown | Reported | Alarm
