"""Consecutive positions of a stream as flat columns: 110 bytes a block, copied for a snapshot."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import msgspec

from headland.link.contract import CHAIN_BYTES, Ref
from headland.vocabulary import NO_TIME, StorageDamage

DIGEST_BYTES = 16
_CODES = "IQIQqqqqqqIB"
_COMPACT_FROM = 4096
PIECE = 4096
"""Positions that one `Rows` of a stream spans at most, so that cutting and searching it is a small step."""


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One block as the outbox knows it.

    Attributes:
        ident: Index of its (origin, epoch).
        k: Its number in (origin, epoch, class).
        rows: Readings.
        size: Payload bytes.
        ts_min: Earliest event time, ns UTC.
        ts_max: Latest event time, ns UTC.
        born_ms: Age clock at which its oldest row was made, ms.
        space: First number of its `Ref`.
        at: Second number of its `Ref`.
        length: Encoded bytes, or 0.
        groups: Index of its set of series groups.
        tries: Attempts spent.
        digest: 16 bytes.
        chain: Chain value after it, 16 bytes.
    """

    ident: int
    k: int
    rows: int
    size: int
    ts_min: int
    ts_max: int
    born_ms: int
    space: int
    at: int
    length: int
    groups: int
    tries: int
    digest: bytes
    chain: bytes

    @property
    def ref(self) -> Ref:
        """Where header and body are."""
        return Ref(self.space, self.at, self.length)


def known_row(ident: int, k: int, rows: int, size: int) -> Row:
    """A block of which no more than this is known any more."""
    nothing = bytes(DIGEST_BYTES)
    return Row(ident, k, rows, size, NO_TIME, NO_TIME, 0, 0, 0, 0, 0, 0, nothing, bytes(CHAIN_BYTES))


_FIELDS = Row.__struct_fields__[:-2]
_IDENT, _K, _ROWS, _SIZE, _TS_MIN, _TS_MAX, _BORN, SPACE, _AT, _LENGTH, _GROUPS, _TRIES = range(12)


class Rows:
    """Blocks at positions first, first + 1 ... last.

    Attributes:
        first: Position of the first block.
        columns: One array a field of `Row`, but digest and chain.
        digests: Digests, 16 bytes each.
        chains: Chain values, 16 bytes each.
    """

    __slots__ = ("_dead", "_span", "chains", "columns", "digests", "first")

    def __init__(self, first: int) -> None:
        self.first = first
        self.columns = [array(code) for code in _CODES]
        self.digests = bytearray()
        self.chains = bytearray()
        self._dead = 0
        self._span: tuple[int, int] | None = (1 << 64, -1)

    def __len__(self) -> int:
        return len(self.columns[0]) - self._dead

    @property
    def last(self) -> int:
        """Position of the last block; first - 1 when empty."""
        return self.first + len(self.columns[0]) - self._dead - 1

    def append(self, row: Row) -> None:
        """Add the block at last + 1."""
        columns = self.columns
        if self._span is not None:
            self._span = min(self._span[0], row.space), max(self._span[1], row.space)
        columns[_IDENT].append(row.ident)
        columns[_K].append(row.k)
        columns[_ROWS].append(row.rows)
        columns[_SIZE].append(row.size)
        columns[_TS_MIN].append(row.ts_min)
        columns[_TS_MAX].append(row.ts_max)
        columns[_BORN].append(row.born_ms)
        columns[SPACE].append(row.space)
        columns[_AT].append(row.at)
        columns[_LENGTH].append(row.length)
        columns[_GROUPS].append(row.groups)
        columns[_TRIES].append(row.tries)
        self.digests += row.digest
        self.chains += row.chain

    def row(self, p: int) -> Row:
        """The block at p."""
        i = self._index(p)
        ident, k, rows, size, ts_min, ts_max, born, space, at, length, groups, tries = [
            column[i] for column in self.columns
        ]
        digest, chain = self.digest_at(p), self.chain_at(p)
        return Row(
            ident, k, rows, size, ts_min, ts_max, born, space, at, length, groups, tries, digest, chain
        )

    def rows_between(self, p_from: int, p_to: int) -> Iterable[Row]:
        """The blocks at p_from to p_to."""
        return map(self.row, range(p_from, p_to + 1))

    def chain_at(self, p: int) -> bytes:
        """Chain value after p."""
        i = self._index(p) * CHAIN_BYTES
        return bytes(self.chains[i : i + CHAIN_BYTES])

    def digest_at(self, p: int) -> bytes:
        """Digest of the block at p."""
        i = self._index(p) * DIGEST_BYTES
        return bytes(self.digests[i : i + DIGEST_BYTES])

    def born_at(self, p: int) -> int:
        """Age clock at which the block at p was made, ms."""
        return self.columns[_BORN][self._index(p)]

    def length_at(self, p: int) -> int:
        """Encoded bytes of the block at p (its payload bytes when they are not known)."""
        i = self._index(p)
        return self.columns[_LENGTH][i] or self.columns[_SIZE][i]

    @property
    def identities(self) -> Sequence[int]:
        """Indexes of the (origin, epoch)s in it."""
        return self.columns[_IDENT][self._dead :]

    @property
    def oldest_space(self) -> int:
        """Smallest first number of a `Ref` in it; it is not empty."""
        return self._spanned()[0]

    @property
    def newest_space(self) -> int:
        """Largest first number of a `Ref` in it; it is not empty."""
        return self._spanned()[1]

    def _spanned(self) -> tuple[int, int]:
        if self._span is None:
            spaces = self.columns[SPACE][self._dead :]
            self._span = min(spaces), max(spaces)
        return self._span

    def spaces(self, p_from: int, p_to: int) -> Sequence[int]:
        """First numbers of the `Ref`s of the blocks at p_from to p_to."""
        return self.columns[SPACE][self._index(p_from) : self._index(p_to) + 1]

    def places(self, p_from: int, p_to: int) -> Iterable[tuple[int, int, int, int]]:
        """Both numbers, encoded bytes as `length_at` and born ms of the blocks at p_from to p_to."""
        i, j = self._index(p_from), self._index(p_to) + 1
        space, at, length, size, born = (
            self.columns[field][i:j] for field in (SPACE, _AT, _LENGTH, _SIZE, _BORN)
        )
        return zip(
            space, at, (known or plain for known, plain in zip(length, size, strict=True)), born, strict=True
        )

    def totals(self, p_from: int, p_to: int) -> tuple[int, int]:
        """Readings and payload bytes of the blocks at p_from to p_to."""
        i, j = self._index(p_from), self._index(p_to) + 1
        return sum(self.columns[_ROWS][i:j]), sum(self.columns[_SIZE][i:j])

    def move(self, p: int, ref: Ref) -> None:
        """The block at p is now at `ref`."""
        i = self._index(p)
        self._span = None
        self.columns[SPACE][i], self.columns[_AT][i], self.columns[_LENGTH][i] = (
            ref.space,
            ref.at,
            ref.length,
        )

    def drop_to(self, p: int) -> None:
        """Forget the blocks at and below p."""
        count = min(p, self.last) - self.first + 1
        if count <= 0:
            return
        self._span = None
        self._dead += count
        self.first += count
        if self._dead >= _COMPACT_FROM or self._dead == len(self.columns[0]):
            for column in self.columns:
                del column[: self._dead]
            del self.digests[: self._dead * DIGEST_BYTES]
            del self.chains[: self._dead * CHAIN_BYTES]
            self._dead = 0

    def split_after(self, p: int) -> Rows:
        """Cut off and return everything above p."""
        tail = Rows(p + 1)
        self._span = tail._span = None
        i = self._index(p + 1)
        tail.columns = [column[i:] for column in self.columns]
        tail.digests = self.digests[i * DIGEST_BYTES :]
        tail.chains = self.chains[i * CHAIN_BYTES :]
        for column in self.columns:
            del column[i:]
        del self.digests[i * DIGEST_BYTES :]
        del self.chains[i * CHAIN_BYTES :]
        return tail

    def parts(self) -> list[Rows]:
        """These blocks, each part within one span of `PIECE` positions; what is here is the first of them."""
        out = [self]
        while (end := (out[-1].first + PIECE - 1) // PIECE * PIECE) < out[-1].last:
            out.append(out[-1].split_after(end))
        return out

    def dump(self) -> list[object]:
        """Everything, for a snapshot."""
        dead = self._dead
        return [
            self.first,
            [column[dead:].tobytes() for column in self.columns],
            bytes(self.digests[dead * DIGEST_BYTES :]),
            bytes(self.chains[dead * CHAIN_BYTES :]),
        ]

    @classmethod
    def load(cls, dumped: tuple[int, list[bytes], bytes, bytes]) -> Rows:
        """Inverse of `dump`.

        Raises:
            StorageDamage: The columns do not fit together.
        """
        rows = cls(dumped[0])
        rows._span = None
        for column, data in zip(rows.columns, dumped[1], strict=True):
            column.frombytes(data)
        rows.digests += dumped[2]
        rows.chains += dumped[3]
        if {len(column) for column in rows.columns} != {len(rows.chains) // CHAIN_BYTES} or len(
            rows.digests
        ) != len(rows.chains):
            raise StorageDamage("columns of an outbox have unequal lengths")
        return rows

    def _index(self, p: int) -> int:
        if not self.first <= p <= self.last + 1:
            raise IndexError(p)
        return p - self.first + self._dead
