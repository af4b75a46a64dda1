"""Where each direct child stands, as this node has made durable: the parent's half of deduplication.

A hop deduplicates by position: for every child, its current and undrained epochs, per stream the last
position and the chain value after it, and the answers that were not `Committed` until the child has confirmed
them. Of those only the last position stays: a child that stands below it has gone back, and does not know any
more which of its blocks were not committed.

Durable forms: a received block moves its stream by its own RECEIVED section; everything else is a STATE
section of the owner "link", msgpack of one of `Placed`, `Stands`, `Dropped`, `Desired`, `Told`, `Hears`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from headland.blocks.digest import chain, identity_bytes
from headland.link import received
from headland.link.contract import START, DraftLike, ExceptionAnswer, StreamKey, Verdict
from headland.vocabulary.stored import read_back, read_snapshot

OWNER = "link"
EXCEPTIONS_MAX = 100_000
"""Unconfirmed exceptions of one stream; beyond it the child is not read on until it confirms some."""
CHILDREN_MAX = 10_000
VERDICTS_MAX = 4096
"""Messages of verdicts kept for one child that does not note them (an older one never does)."""
VERSION = 1


class Placed(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """A stream stands at p; `exceptions` are all that are unconfirmed, or only one more when `adds`.

    `heard`: the last confirmed one, or 0.
    """

    child: str
    stream: StreamKey
    p: int
    chain: bytes
    exceptions: tuple[ExceptionAnswer, ...] = ()
    adds: bool = False
    heard: int = 0


class Stands(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Where a stream stood before what this commit takes of it.

    It changes nothing, unless commits before it are missing from the log: then it keeps both in step.
    """

    child: str
    stream: StreamKey
    p: int
    chain: bytes


class Dropped(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """Epochs that a child has drained and forgotten."""

    child: str
    epochs: tuple[bytes, ...]


class Desired(msgspec.Struct, frozen=True, array_like=True, tag="i"):
    """The newest intent of a kind for a child; a body of None takes it back."""

    child: str
    kind: str
    version: int
    body: bytes | None
    signature: bytes = b""


class Told(msgspec.Struct, frozen=True, array_like=True, tag="v"):
    """Verdicts for a child, until it has noted them; `number` counts from 1."""

    child: str
    number: int
    verdicts: tuple[Verdict, ...]


class Hears(msgspec.Struct, frozen=True, array_like=True, tag="n"):
    """A child has noted verdicts up to `number`."""

    child: str
    number: int


_Record = Placed | Stands | Dropped | Desired | Told | Hears


class ChildStream:
    """One stream of a child.

    Attributes:
        key: Which.
        p: Last position taken, durable or in the open commit.
        chain: Chain value after it.
        durable_p: Last durable position.
        durable_chain: Chain value after that.
        exceptions: Unconfirmed answers that were not `Committed`, ascending.
        heard: Position of the last confirmed one, or 0.
        stated_n: Commit that last said where it stands.
    """

    __slots__ = ("chain", "durable_chain", "durable_p", "exceptions", "heard", "key", "p", "stated_n")

    def __init__(self, key: StreamKey, p: int = 0, chain_value: bytes = START) -> None:
        self.key = key
        self.p = self.durable_p = p
        self.chain = self.durable_chain = chain_value
        self.exceptions: list[ExceptionAnswer] = []
        self.heard = 0
        self.stated_n = 0

    @property
    def settled(self) -> bool:
        """Whether nothing of it waits for a commit."""
        return self.p == self.durable_p


class ChildState:
    """What is known of one child.

    Attributes:
        name: From its certificate.
        streams: By name; epochs in the order in which they first brought something.
        desired: Newest intent by kind.
        verdicts: What it has not noted yet, oldest first.
        told: Number of the last of them that was ever made.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.streams: dict[StreamKey, ChildStream] = {}
        self.desired: dict[str, Desired] = {}
        self.verdicts: list[Told] = []
        self.told = 0

    def epochs(self) -> list[bytes]:
        """Epochs with a position, in the order in which they appeared."""
        return list(dict.fromkeys(key.epoch for key in self.streams))

    def stream(self, key: StreamKey) -> ChildStream:
        """A stream, made at its beginning when it is new."""
        found = self.streams.get(key)
        if found is None:
            found = self.streams[key] = ChildStream(key)
        return found

    @property
    def settled(self) -> bool:
        """Whether nothing of it waits for a commit."""
        return all(stream.settled for stream in self.streams.values())


class _Snapshot(msgspec.Struct, array_like=True):
    version: int
    placed: list[Placed]
    desired: list[Desired]
    told: list[Told] = []
    numbers: dict[str, int] = {}


_records: msgspec.msgpack.Decoder[_Record] = msgspec.msgpack.Decoder(_Record)
_snapshots = msgspec.msgpack.Decoder(_Snapshot)
_encoder = msgspec.msgpack.Encoder()


class Positions:
    """All children's positions.

    Attributes:
        children: By name.
    """

    def __init__(self) -> None:
        self.children: dict[str, ChildState] = {}

    def child(self, name: str) -> ChildState:
        """A child, known from now on."""
        found = self.children.get(name)
        if found is None:
            found = self.children[name] = ChildState(name)
        return found

    def write(self, record: _Record, draft: DraftLike) -> None:
        """Make a record part of the open commit, and apply it."""
        draft.state(OWNER, _encoder.encode(record))
        self._apply(record)

    def stand(self, child: str, key: StreamKey, draft: DraftLike) -> None:
        """Say where a stream stands, before the first that this commit takes of it."""
        stream = self.child(child).stream(key)
        if stream.stated_n != draft.n:
            stream.stated_n = draft.n
            if stream.p:
                draft.state(OWNER, _encoder.encode(Stands(child, key, stream.p, stream.chain)))

    def take(self, item: received.ReceivedBlock | received.ReceivedGap) -> None:
        """A block or tombstone is in the open commit."""
        stream = self.child(item.child).stream(item.stream)
        stream.p = item.p
        stream.chain = chain_after(stream.chain, item)

    def retake(self, item: received.ReceivedBlock | received.ReceivedGap) -> None:
        """The same of a section read back: who refuses a later position in the same turn writes before it."""
        if item.p > self.child(item.child).stream(item.stream).p:
            self.take(item)

    def replay(self, data: bytes) -> None:
        """One STATE section.

        Raises:
            StorageDamage: It does not decode.
        """
        self._apply(read_back(_records, data, "positions of children"))

    def recovered(self) -> None:
        """Replay is over: everything found is durable."""
        for child in self.children.values():
            for stream in child.streams.values():
                stream.durable_p, stream.durable_chain = stream.p, stream.chain

    def _apply(self, record: _Record) -> None:
        child = self.child(record.child)
        match record:
            case Placed():
                stream = child.stream(record.stream)
                stream.p, stream.chain = record.p, record.chain
                stream.heard = max(stream.heard, record.heard)
                if record.adds:
                    stream.exceptions += record.exceptions
                else:
                    stream.exceptions = list(record.exceptions)
            case Stands():
                stream = child.stream(record.stream)
                stream.p, stream.chain = record.p, record.chain
            case Dropped():
                gone = set(record.epochs)
                child.streams = {key: item for key, item in child.streams.items() if key.epoch not in gone}
            case Desired():
                if record.body is None:
                    child.desired.pop(record.kind, None)
                else:
                    child.desired[record.kind] = record
            case Told():
                child.told = max(child.told, record.number)
                child.verdicts.append(record)
                del child.verdicts[:-VERDICTS_MAX]
            case Hears():
                child.verdicts = [item for item in child.verdicts if item.number > record.number]
            case _:
                assert_never(record)

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        streams: Iterable[tuple[str, ChildStream]] = (
            (child.name, stream) for child in self.children.values() for stream in child.streams.values()
        )
        placed = [
            Placed(name, item.key, item.p, item.chain, tuple(item.exceptions), heard=item.heard)
            for name, item in streams
        ]
        desired = [item for child in self.children.values() for item in child.desired.values()]
        told = [item for child in self.children.values() for item in child.verdicts]
        numbers = {child.name: child.told for child in self.children.values() if child.told}
        return _encoder.encode(_Snapshot(VERSION, placed, desired, told, numbers))

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot.

        Raises:
            StorageDamage: It is not one, or a newer version's.
        """
        dumped = read_snapshot(_snapshots, data, "positions of children", VERSION)
        self.children = {}
        for placed in dumped.placed:
            self._apply(placed)
        for desired in dumped.desired:
            self._apply(desired)
        for told in dumped.told:
            self._apply(told)
        for name, number in dumped.numbers.items():
            self.child(name).told = number
        self.recovered()


def chain_after(before: bytes, item: received.ReceivedBlock | received.ReceivedGap) -> bytes:
    """Chain value after what came."""
    if isinstance(item, received.ReceivedGap):
        return item.chain
    header = item.header
    identity = identity_bytes(header.origin, header.epoch, header.priority, header.k)
    return chain(before, identity, header.digest)
