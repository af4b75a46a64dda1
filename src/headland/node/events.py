"""What can happen to a node, and what a node can ask of the world.

The core (`headland.node.core.Node`) takes events and returns actions; whoever executes the actions (the real
event loop, the simulator) contains no branch on product state. Connections are integers chosen by the
executor, never reused within a process.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headland.journal.checkpoint import CheckpointInfo
from headland.journal.plan import DiskOp
from headland.line.deciding import Actuation, Outcome
from headland.link.protocol import IntentStatus
from headland.mqtt import Claim
from headland.mqtt import Send as Send
from headland.mqtt import Verify as Verify
from headland.node.blocks_on_disk import Block, BlockRef, Paged
from headland.node.settings import Base
from headland.sources.contract import SourceBatch

# ── events ──────────────────────────────────────────────────────────────────────────────────────────────────


class Opened(msgspec.Struct, frozen=True, tag=True):
    """A connection exists: accepted on a listener, or dialled (`listener` = "parent")."""

    connection: int
    listener: str
    """"mqtt", "link" or "parent"."""
    address: str = ""
    tls: bool = False
    peer_name: str | None = None
    """Name in the peer's certificate, when it showed one that we trust."""
    listener_name: str = ""


class Received(msgspec.Struct, frozen=True, tag=True):
    """Bytes arrived: (connection, bytes), of one connection or of several, in order of arrival."""

    parts: Sequence[tuple[int, bytes]]


class Verified(msgspec.Struct, frozen=True, tag=True):
    """The password of a client has been checked, as `Verify` asked."""

    connection: int
    claim: Claim
    right: bool


class Closed(msgspec.Struct, frozen=True, tag=True):
    """The connection is gone, by whichever side."""

    connection: int
    reason: str


class DialFailed(msgspec.Struct, frozen=True, tag=True):
    """The parent could not be reached."""

    reason: str


class Committed(msgspec.Struct, frozen=True, tag=True):
    """Every disk operation of commit `n` has been executed and synced.

    Attributes:
        n: Which commit.
        room: Bytes that are free on the file system now; None where that is not known.
    """

    n: int
    room: int | None = None


class NoSpace(msgspec.Struct, frozen=True, tag=True):
    """A preallocation failed with ENOSPC: commit `n` was not written at all."""

    n: int


class DiskFailed(msgspec.Struct, frozen=True, tag=True):
    """A write or fsync failed: nothing may be acknowledged any more."""

    reason: str


class SideWorkDone(msgspec.Struct, frozen=True, tag=True):
    """The operations of `Beside` with this token are durable (or failed, with the reason)."""

    token: int
    error: str = ""


class Packed(msgspec.Struct, frozen=True, tag=True):
    """The bytes of the checkpoint's file that `Pack` asked for."""

    token: int
    data: bytes


class BlocksRead(msgspec.Struct, frozen=True, tag=True):
    """The blocks asked for by `ReadBlocks`, in order; None where one cannot be read."""

    token: int
    blocks: tuple[Block | None, ...]
    error: str = ""
    """What went wrong with the first unreadable one."""


class PageRead(msgspec.Struct, frozen=True, tag=True):
    """The headers asked for by `ReadPage`."""

    token: int
    page: tuple[Paged, ...]
    error: str = ""
    """What is wrong with the first bytes behind these headers; "" when nothing is."""


class Unreadable(msgspec.Struct, frozen=True, tag=True):
    """Somebody who looked at what this node stores could not read some of it."""

    detail: str


class Offered(msgspec.Struct, frozen=True, tag=True):
    """What one poll of a source of this node brought; answered by `Confirm` once it is durable."""

    source: str
    brought: SourceBatch


class Pushed(msgspec.Struct, frozen=True, tag=True):
    """One HTTP request on the push listener."""

    token: int
    principal: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Asked(msgspec.Struct, frozen=True, tag=True):
    """A question or an order of the operator (local API, command line)."""

    token: int
    what: str
    arguments: dict[str, str] = {}


class Unwritten(msgspec.Struct, frozen=True, tag=True):
    """So many bytes wait in the transport of a connection (0 when they have left)."""

    connection: int
    waiting_bytes: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Somebody knocked at a listener and was not let in."""

    listener: str
    address: str
    cause: str
    detail: str = ""


class Reconfigure(msgspec.Struct, frozen=True, tag=True):
    """The configuration file was read again, and is right as far as it alone can be."""

    base: Base
    live: tuple[str, ...] = ()
    """Keys that differ and are applied now."""
    restart: tuple[str, ...] = ()
    """Keys that differ and count from the next start."""


class Certified(msgspec.Struct, frozen=True, tag=True):
    """This node shows this certificate from now on: when it begins and ends, UTC seconds since 1970."""

    begins_s: float
    ends_s: float


class UsersChanged(msgspec.Struct, frozen=True, tag=True):
    """Others may connect now, or do other things: open connections and sessions are judged anew.

    Attributes:
        other_passwords: Users who prove themselves in another way now; their connections are closed.
    """

    other_passwords: tuple[str, ...] = ()


class FileRefused(msgspec.Struct, frozen=True, tag=True):
    """The configuration file was read again, and is wrong."""

    why: str


class Tick(msgspec.Struct, frozen=True, tag=True):
    """The time asked for by `Node.next_wake` has come."""


class Acted(msgspec.Struct, frozen=True, tag=True):
    """What became of an `Actuate`, and why."""

    actuation: Actuation
    outcome: Outcome
    why: str = ""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Drain what can be drained and end (SIGTERM)."""


Event = (
    Opened
    | Received
    | Verified
    | Closed
    | DialFailed
    | Committed
    | NoSpace
    | DiskFailed
    | SideWorkDone
    | Packed
    | BlocksRead
    | PageRead
    | Unreadable
    | Offered
    | Pushed
    | Asked
    | Unwritten
    | Refused
    | Reconfigure
    | UsersChanged
    | Certified
    | FileRefused
    | Acted
    | Tick
    | Stop
)

# ── actions ─────────────────────────────────────────────────────────────────────────────────────────────────


class Commit(msgspec.Struct, frozen=True, tag=True):
    """Execute in order on the committer; then `Committed`, `NoSpace` or `DiskFailed`. One is in flight."""

    n: int
    ops: Sequence[DiskOp]


class Beside(msgspec.Struct, frozen=True, tag=True):
    """Execute in order beside the commit path (checkpoints, deletions); then `SideWorkDone`."""

    token: int
    ops: Sequence[DiskOp]


class Pack(msgspec.Struct, frozen=True, tag=True):
    """Make the file of a checkpoint beside the commit path (`checkpoint.encode_file`); then `Packed`."""

    token: int
    info: CheckpointInfo
    snapshot: bytes


class ReadBlocks(msgspec.Struct, frozen=True, tag=True):
    """Read blocks from disk; then `BlocksRead`."""

    token: int
    refs: tuple[BlockRef, ...]


class ReadPage(msgspec.Struct, frozen=True, tag=True):
    """Read at most `count` headers of a file of blocks; then `PageRead`.

    Damage ends the page; with `around` it is stepped around, and only what verifies is told.
    """

    token: int
    path: str
    number: int
    at: int
    end: int
    count: int
    around: bool = False


class Close(msgspec.Struct, frozen=True, tag=True):
    """Close a connection, after what was sent before."""

    connection: int
    reason: str = ""


class Dial(msgspec.Struct, frozen=True, tag=True):
    """Connect to the parent; then `Opened` or `DialFailed`."""


class Pause(msgspec.Struct, frozen=True, tag=True):
    """Stop (or resume) reading a connection: the bound on unstored readings is reached."""

    connection: int
    paused: bool


class Established(msgspec.Struct, frozen=True, tag=True):
    """The protocol above the transport is satisfied with this peer: its time to begin is over."""

    connection: int


class Believe(msgspec.Struct, frozen=True, tag=True):
    """An authenticated parent says what time it is (ns UTC)."""

    wall_ns: int


class Confirm(msgspec.Struct, frozen=True, tag=True):
    """What a source brought up to `position` is durable."""

    source: str
    position: bytes


class Answered(msgspec.Struct, frozen=True, tag=True):
    """The readings of a push are durable. Executed by the core itself: it becomes a `Reply`."""

    token: int


class Ordered(msgspec.Struct, frozen=True, tag=True):
    """What an order wrote is durable. Executed by the core itself: the parent is told, a class is let go."""

    token: int = 0
    released: int | None = None
    """Class whose on-demand blocks may leave now."""
    status: IntentStatus | None = None


class Reply(msgspec.Struct, frozen=True, tag=True):
    """Answer to `Pushed` or `Asked`."""

    token: int
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Actuate(msgspec.Struct, frozen=True, tag=True):
    """Move something in the world, now: before any disk or other network work of this event."""

    actuation: Actuation


class Say(msgspec.Struct, frozen=True, tag=True):
    """One line of the node's log."""

    level: str
    event: str
    fields: dict[str, str | int | float] = {}


class Exit(msgspec.Struct, frozen=True, tag=True):
    """End the process: 0 after a drain, 1 when nothing may be acknowledged any more."""

    code: int
    reason: str


Action = (
    Commit
    | Beside
    | Pack
    | ReadBlocks
    | ReadPage
    | Send
    | Verify
    | Close
    | Dial
    | Pause
    | Established
    | Believe
    | Confirm
    | Reply
    | Actuate
    | Say
    | Exit
)
Waits = Action | Answered | Ordered
"""What may wait for a commit."""
