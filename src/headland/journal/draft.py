"""The open commit: what the next frame of the journal will hold.

Laws:

* A draft has the number N it will be committed under before anything is written into it, so whoever writes
  knows what its acknowledgement has to wait for.
* Rows of one class keep the order in which they were appended.
* State sections keep the order in which they were appended, over all owners.
* Ledger deltas are sums: entries whose readings and bytes both cancel out are not written.
* Rows of one class beyond `PIECE_ROWS` or `PIECE_BYTES` go into several sections: each is then a block of its
  own, small enough for a parent to take.

Section bodies, all integers little-endian:

=========  ==================================================================================
ROWS       u8 class, then rows as `headland.blocks.codec` encodes them
LEDGER     msgpack array of [account, group, class, rule, readings, payload_bytes]
STATE      u8 length of the owner's name (ASCII), the name, then what the owner gave
others     what `Draft.section` was given
=========  ==================================================================================
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from headland.blocks import codec
from headland.vocabulary import Account, Columns, RowClass, StorageDamage


class SectionType(IntEnum):
    """What a section of a frame holds; a reader skips types that it does not know."""

    ROWS = 1
    SEALS = 2
    LEDGER = 3
    RECEIVED = 4
    SERIES = 5
    STATE = 6
    OUTBOX = 7
    SPILL = 8
    TOMBSTONE = 9
    CONFIG = 10
    EPOCH = 11


class Section(msgspec.Struct, frozen=True, array_like=True):
    """One part of a frame: a type (0-255), a body and the version (0-255) of that type's layout."""

    type: int
    data: bytes
    version: int = 1


class LedgerEntry(msgspec.Struct, frozen=True, array_like=True):
    """A change of one account of the books, in readings and payload bytes (either may be negative)."""

    account: int
    group: str
    cls: int
    rule: str
    readings: int
    payload_bytes: int


PIECE_ROWS = 16_384
PIECE_BYTES = 1 << 20

_ledger_encoder = msgspec.msgpack.Encoder()


class Draft:
    """The open commit of a node.

    Attributes:
        n: The number it will be committed under.
        ledger: Deltas so far, (account, group, class, rule) to [readings, payload bytes].
        offered_bytes: Payload bytes offered to it so far.
        section_bytes: Bytes of the sections appended so far, rows and ledger not counted.
        derived_bytes: Bytes of the values of rows that this node made.
    """

    __slots__ = ("_rows", "_sections", "derived_bytes", "ledger", "n", "offered_bytes", "section_bytes")

    def __init__(self, n: int) -> None:
        self.n = n
        self.ledger: dict[tuple[int, str, int, str], list[int]] = {}
        self._rows: dict[RowClass, Columns] = {}
        self._sections: list[Section] = []
        self.offered_bytes = 0
        self.section_bytes = 0
        self.derived_bytes = 0

    @property
    def empty(self) -> bool:
        """Whether committing it would make nothing durable."""
        return not self.ledger and not self._sections and not any(map(len, self._rows.values()))

    @property
    def only_books(self) -> bool:
        """Whether it holds ledger deltas and nothing else (such a commit may wait up to a second)."""
        return bool(self.ledger) and not self._sections and not any(map(len, self._rows.values()))

    @property
    def section_count(self) -> int:
        """Sections appended so far, rows and ledger not counted."""
        return len(self._sections)

    def rows(self, cls: RowClass) -> Columns:
        """The rows of `cls` in this commit, to append to."""
        rows = self._rows.get(cls)
        if rows is None:
            rows = self._rows[cls] = Columns()
        return rows

    def row_count(self, cls: RowClass) -> int:
        """How many rows of `cls` it holds."""
        rows = self._rows.get(cls)
        return 0 if rows is None else len(rows)

    def derived(self, value_bytes: int) -> None:
        """A row that this node made is in it, with a value of this size."""
        self.derived_bytes += value_bytes

    def state(self, owner: str, data: bytes) -> None:
        """Append what the machine `owner` (ASCII, at most 255 characters) will replay after a crash."""
        name = owner.encode("ascii")
        self.section(SectionType.STATE, bytes((len(name),)) + name + data)

    def section(self, type: int, data: bytes, version: int = 1) -> int:  # noqa: A002 - the memo's word
        """Append a section of any other type; returns its index among `sections()`."""
        self._sections.append(Section(type, data, version))
        self.section_bytes += len(data)
        return len(self._sections) - 1

    def book(
        self, account: Account, group: str, cls: int, rule: str, readings: int, payload_bytes: int
    ) -> None:
        """Add to one account of the books, in readings and payload bytes."""
        if account == Account.OFFERED:
            self.offered_bytes += payload_bytes
        entry = self.ledger.get((account, group, cls, rule))
        if entry is None:
            self.ledger[(int(account), group, cls, rule)] = [readings, payload_bytes]
        else:
            entry[0] += readings
            entry[1] += payload_bytes

    def sections(self) -> list[Section]:
        """What the frame will hold: own sections as appended, then rows by class, then the ledger."""
        out = list(self._sections)
        for cls, rows in self._rows.items():
            out += [Section(SectionType.ROWS, encode_rows(cls, piece)) for piece in pieces(rows)]
        entries = [
            LedgerEntry(*key, readings, payload_bytes)
            for key, (readings, payload_bytes) in self.ledger.items()
            if readings or payload_bytes
        ]
        if entries:
            out.append(Section(SectionType.LEDGER, _ledger_encoder.encode(entries)))
        return out


def pieces(rows: Columns) -> list[Columns]:
    """Rows in parts: each ends with its `PIECE_ROWS`th row or the one that fills `PIECE_BYTES` of payload."""
    sizes = rows.size
    if len(rows) <= PIECE_ROWS and (sizes is None or sum(sizes) <= PIECE_BYTES):
        return [rows] if len(rows) else []
    out: list[Columns] = []
    start = used = 0
    for end in range(1, len(rows) + 1):
        used += sizes[end - 1] if sizes is not None else 0
        if end - start == PIECE_ROWS or used >= PIECE_BYTES or end == len(rows):
            out.append(rows.part(start, end))
            start, used = end, 0
    return out


def encode_rows(cls: RowClass, rows: Columns) -> bytes:
    """Body of a ROWS section."""
    return bytes((cls,)) + codec.encode(rows, codec.Codec.FAST)


def decode_rows(data: bytes) -> tuple[RowClass, Columns]:
    """Class and rows of a ROWS section.

    Raises:
        PeerError: the rows do not decode.
        StorageDamage: the class is unknown or missing.
    """
    try:
        cls = RowClass(data[0])
    except (IndexError, ValueError):
        raise StorageDamage("rows of an unknown class") from None
    return cls, codec.decode(data[1:])


def decode_state(data: bytes) -> tuple[str, bytes]:
    """Owner and body of a STATE section.

    Raises:
        StorageDamage: cut short.
    """
    end = 1 + data[0] if data else 1
    if len(data) < end:
        raise StorageDamage("state section cut short")
    try:
        return data[1:end].decode("ascii"), data[end:]
    except UnicodeDecodeError:
        raise StorageDamage("state section without an owner's name") from None
