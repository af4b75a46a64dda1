"""Where the sections of recent commits stand in the journal, so that a block can be read back.

Flat columns: 28 bytes a section. What a recycled segment held is dropped with it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from headland.journal import Section, SectionRef, SectionType
from headland.vocabulary import Priority

NO_SECTION = (1 << 32) - 1
"""Index of an entry that stands for no section: only where a block begins."""


class SectionIndex:
    """References of one kind of section (rows of one class, headers and received blocks) by commit."""

    __slots__ = ("_columns",)
    _CODES = "qIIIII"

    def __init__(self) -> None:
        self._columns = [array(code) for code in self._CODES]

    def __len__(self) -> int:
        return len(self._columns[0])

    def add(self, n: int, index: int, ref: SectionRef) -> None:
        """Remember section `index` of commit `n`; in order of (n, index)."""
        for column, value in zip(
            self._columns, (n, index, ref.segment, ref.offset, ref.length, ref.crc), strict=True
        ):
            column.append(value)

    def between(self, first_n: int, last_n: int) -> list[SectionRef]:
        """Sections of the commits first_n to last_n, in order."""
        commits = self._columns[0]
        return [self._at(i) for i in range(bisect_left(commits, first_n), bisect_right(commits, last_n))]

    def find(self, n: int, index: int) -> SectionRef | None:
        """Section `index` of commit `n`, or None when it is not here."""
        commits, indices = self._columns[0], self._columns[1]
        i = bisect_left(commits, n)
        while i < len(commits) and commits[i] == n:
            if indices[i] == index:
                return self._at(i)
            i += 1
        return None

    def count(self, n: int) -> int:
        """How many sections of commit `n` are here."""
        commits = self._columns[0]
        return bisect_right(commits, n) - bisect_left(commits, n)

    def rank(self, n: int, index: int) -> int:
        """How many sections of commit `n` stand before section `index`."""
        first = bisect_left(self._columns[0], n)
        return bisect_left(self._columns[1], index, first, first + self.count(n)) - first

    def before(self, n: int) -> int:
        """The newest commit below `n` that has such a section here, or -1."""
        commits = self._columns[0]
        i = bisect_left(commits, n) - 1
        return commits[i] if i >= 0 else -1

    def after(self, n: int) -> int | None:
        """The oldest commit above `n` that has such a section here, or None."""
        commits = self._columns[0]
        i = bisect_right(commits, n)
        return commits[i] if i < len(commits) else None

    def forget_to(self, n: int) -> None:
        """Drop everything of commits up to and with `n`."""
        count = bisect_right(self._columns[0], n)
        for column in self._columns:
            del column[:count]

    def dump(self) -> list[bytes]:
        """Everything, for a snapshot."""
        return [column.tobytes() for column in self._columns]

    def load(self, dumped: list[bytes]) -> None:
        """Replace everything by a dump."""
        self._columns = [array(code) for code in self._CODES]
        for column, data in zip(self._columns, dumped, strict=True):
            column.frombytes(data)

    def _at(self, i: int) -> SectionRef:
        _, _, segment, offset, length, crc = self._columns
        return SectionRef(segment[i], offset[i], length[i], crc[i])


class Places:
    """All that a node has to find again in its journal.

    Attributes:
        rows: Sections of rows, by class that goes north.
        seals: Headers of own blocks, by class.
        received: Received blocks.
    """

    def __init__(self) -> None:
        self.rows = [SectionIndex() for _ in Priority]
        self.seals = [SectionIndex() for _ in Priority]
        self.received = SectionIndex()

    def add(self, n: int, sections: Sequence[Section], refs: Sequence[SectionRef]) -> None:
        """Remember the sections of commit `n` that are blocks, or rows of blocks."""
        for i, (section, ref) in enumerate(zip(sections, refs, strict=True)):
            match section.type:
                case SectionType.ROWS if section.data[0] < len(self.rows):
                    self.rows[section.data[0]].add(n, i, ref)
                case SectionType.SEALS:
                    self.seals[section.data[0] & 3].add(n, i, ref)
                case SectionType.RECEIVED:
                    self.received.add(n, i, ref)
                case _:
                    pass

    def rows_of(self, priority: int, n: int, index: int) -> list[SectionRef]:
        """Rows of the own block whose header is section `index` of commit `n`.

        Normally those of all commits since the seal before it. A commit that holds more than one block may
        of a class seals every piece of its rows apart, and before them what was open.
        """
        seals, rows = self.seals[priority], self.rows[priority]
        first_n = seals.before(n) + 1
        if seals.count(n) == 1:
            return rows.between(first_n, n)
        pieces = rows.between(n, n)
        at = seals.rank(n, index) - (seals.count(n) - len(pieces))
        return rows.between(first_n, n - 1) if at < 0 else [pieces[at]]

    def begins(self, priority: int, n: int) -> None:
        """The next own block of a class begins with commit n: seals before it are missing from the log."""
        if self.seals[priority].before(n) < n - 1:
            self.seals[priority].add(n - 1, NO_SECTION, SectionRef(0, 0, 0, 0))

    def forget_to(self, n: int) -> None:
        """Drop everything of commits up to and with `n`."""
        for index in self._all():
            index.forget_to(n)

    def __len__(self) -> int:
        return sum(map(len, self._all()))

    def dump(self) -> list[list[bytes]]:
        """Everything, for a snapshot."""
        return [index.dump() for index in self._all()]

    def load(self, dumped: list[list[bytes]]) -> None:
        """Replace everything by a dump."""
        for index, data in zip(self._all(), dumped, strict=True):
            index.load(data)

    def _all(self) -> list[SectionIndex]:
        return [*self.rows, *self.seals, self.received]
