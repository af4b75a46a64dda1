"""What the outbox makes durable, and reads back at recovery.

Sections of a commit that are the outbox's (types as in `headland.journal.draft.SectionType`):

=========  ==================================================================================
SEALS      one sealed block: the header in its self-contained form (`blocks.header.encode_alone`)
RECEIVED   one block or tombstone of a child, see `headland.link.received`
TOMBSTONE  msgpack `Tombstone`: positions of a stream that will not be sent
SPILL      msgpack `Spilled`: blocks of a stream that now stand in an outbox file
OUTBOX     msgpack of one of the other records, told apart by their first element
=========  ==================================================================================

All are arrays; a reader ignores elements behind those that it knows.
"""

from __future__ import annotations

import msgspec

from headland.line.outbox.rows import Row
from headland.line.outbox.stream import BacklogFile, Cut
from headland.link.contract import ExceptionAnswer, GapRange, Ref, StreamKey
from headland.vocabulary import StorageDamage

SEALS, RECEIVED, OUTBOX, SPILL, TOMBSTONE, EPOCH = 2, 4, 7, 8, 9, 11


class Letter(msgspec.Struct, frozen=True, array_like=True):
    """A block that left its place in a stream, with what its `Row` only has numbers for."""

    origin: str
    epoch: bytes
    groups: tuple[str, ...]
    row: Row


class EpochOpened(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """This node's epoch from here on."""

    epoch: bytes
    predecessor: bytes
    predecessor_n: int


class ParentIs(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """The parent that positions are compared with from here on.

    `gone`: an operator gave all other parents up that may hold blocks; no name: this one too.
    """

    name: str
    store: bytes
    gone: bool = False


class AckedTo(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """A stream's watermark moved up."""

    stream: StreamKey
    p: int
    chain: bytes
    exceptions: tuple[ExceptionAnswer, ...] = ()
    letters: tuple[Letter, ...] = ()
    number: int = 0
    """Of the first of `letters`; 0 where there are none."""
    lost: tuple[int, ...] = ()
    """Positions that are answered, and their blocks corrupt: neither committed nor waiting."""


class Rewound(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """A stream's watermark moved down to p: the parent went back.

    Bodies are gone up to `gap_to`; `ranges` is what is known of those. Positions up to `booked` stay in
    `committed`, because nobody knows their readings before their headers are read.
    """

    stream: StreamKey
    p: int
    chain: bytes
    gap_to: int = 0
    ranges: tuple[GapRange, ...] = ()
    booked: int = 0


class HorizonAt(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """A stream may be sent up to p."""

    stream: StreamKey
    p: int


class Touchable(msgspec.Struct, frozen=True, array_like=True, tag="u"):
    """A handshake told that the parent has nothing of a stream above p."""

    stream: StreamKey
    p: int


class Frozen(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """The parent knows other blocks than ours in this stream; `why` is for people."""

    stream: StreamKey
    why: str = ""


class Released(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """By an operator's word a stopped stream begins anew at p, where the parent stands.

    Its unanswered blocks in the journal wait for a place at the lane's tail, or are dead letters (`buried`);
    those in files are dead letters.
    """

    stream: StreamKey
    p: int
    chain: bytes
    letters: tuple[Letter, ...]
    runs: tuple[BacklogFile, ...]
    buried: bool


class Stands(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Where a stream stood before what this commit adds to it.

    It changes nothing, unless commits before it are missing from the log: then it keeps positions in step.
    """

    stream: StreamKey
    p: int
    chain: bytes


class Told(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """Tombstones of this node at the tail of a stream, for blocks that stand in none."""

    stream: StreamKey
    ranges: tuple[GapRange, ...]


class Reentered(msgspec.Struct, frozen=True, array_like=True, tag="w"):
    """A waiting block went to the tail of a stream."""

    number: int
    stream: StreamKey


class Resent(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """A dead letter went to the tail of a stream; by an operator's word its age begins anew."""

    number: int
    stream: StreamKey
    born_ms: int = 0


class Buried(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    """A waiting block is given up: a tombstone at the tail of a stream; number as in `Reentered`."""

    number: int
    stream: StreamKey
    reason: int
    range: GapRange


class Parked(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """Blocks at first to last wait until their origin is authorised."""

    stream: StreamKey
    first: int
    last: int
    chain: bytes
    letters: tuple[Letter, ...]
    cut: Cut = Cut()


class Forgotten(msgspec.Struct, frozen=True, array_like=True, tag="g"):
    """Bodies of a stream up to p are gone."""

    stream: StreamKey
    p: int


class Moved(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """The body of a waiting block or dead letter is in an outbox file now."""

    number: int
    ref: Ref


class RunResent(msgspec.Struct, frozen=True, array_like=True, tag="y"):
    """The next blocks of a run that had expired unread went to the tail of a stream."""

    number: int
    stream: StreamKey
    letters: tuple[Letter, ...]
    next_at: int


class DeadRun(msgspec.Struct, frozen=True, array_like=True):
    """Blocks in an outbox file that were given up unread, and may be sent again while the file is there.

    Attributes:
        number: Its name, of one numbering with dead letters.
        priority: Its class.
        lane: Its lane, for good.
        reason: `Reason`.
        info: Where it is; positions are those that it had.
    """

    number: int
    priority: int
    lane: int
    reason: int
    info: BacklogFile

    @property
    def blocks(self) -> int:
        """How many."""
        return self.info.p_to - self.info.p_from + 1

    def behind(self, record: RunResent) -> DeadRun | None:
        """What is left after a page of it was sent again, or None."""
        count, info = len(record.letters), self.info
        if count >= self.blocks:
            return None
        left = msgspec.structs.replace(
            info,
            at=record.next_at,
            p_from=info.p_from + count,
            length=info.at + info.length - record.next_at,
            skipped=info.skipped + count,
            readings=info.readings - sum(letter.row.rows for letter in record.letters),
            payload_bytes=info.payload_bytes - sum(letter.row.size for letter in record.letters),
        )
        return msgspec.structs.replace(self, info=left)


class Evicted(msgspec.Struct, frozen=True, array_like=True, tag="x"):
    """A dead letter or a run of them is no longer listed."""

    number: int


Record = (
    EpochOpened
    | ParentIs
    | AckedTo
    | Rewound
    | HorizonAt
    | Touchable
    | Frozen
    | Released
    | Stands
    | Told
    | Reentered
    | Resent
    | Buried
    | Parked
    | Forgotten
    | Moved
    | Evicted
    | RunResent
)


class Tombstone(msgspec.Struct, frozen=True, array_like=True):
    """Positions of a stream that were given up where they stood.

    Attributes:
        stream: Which stream.
        first: First position.
        last: Last position.
        chain: Chain value after it.
        ranges: What was given up.
        letters: The blocks themselves, for the list of dead letters.
        cut: Where they were cut out of a run in a file.
        run: They are a whole run in a file, given up unread, which may be sent again.
        waits: Blocks among them that are not given up: they wait for a place at the lane's tail.
    """

    stream: StreamKey
    first: int
    last: int
    chain: bytes
    ranges: tuple[GapRange, ...]
    letters: tuple[Letter, ...] = ()
    cut: Cut = Cut()
    run: BacklogFile | None = None
    waits: tuple[Letter, ...] = ()


class Spilled(msgspec.Struct, frozen=True, array_like=True):
    """Blocks of a stream that now stand in an outbox file."""

    stream: StreamKey
    info: BacklogFile


_encoder = msgspec.msgpack.Encoder()
_records: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)
_tombstones = msgspec.msgpack.Decoder(Tombstone)
_spills = msgspec.msgpack.Decoder(Spilled)


def encode(record: Record | Tombstone | Spilled) -> bytes:
    """Body of the section that holds `record`."""
    return _encoder.encode(record)


def decode_record(data: bytes) -> Record:
    """Body of an OUTBOX section.

    Raises:
        StorageDamage: Not one.
    """
    try:
        return _records.decode(data)
    except msgspec.MsgspecError as error:
        raise StorageDamage(f"outbox record: {error}") from None


def decode_tombstone(data: bytes) -> Tombstone:
    """Body of a TOMBSTONE section.

    Raises:
        StorageDamage: Not one.
    """
    try:
        return _tombstones.decode(data)
    except msgspec.MsgspecError as error:
        raise StorageDamage(f"tombstone: {error}") from None


def decode_spill(data: bytes) -> Spilled:
    """Body of a SPILL section.

    Raises:
        StorageDamage: Not one.
    """
    try:
        return _spills.decode(data)
    except msgspec.MsgspecError as error:
        raise StorageDamage(f"spill: {error}") from None
