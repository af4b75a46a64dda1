"""A commit as the line sees it, with books and frames that tests can read."""

from __future__ import annotations

from headland.line.filtering import OpenCommit
from headland.vocabulary import (
    NO_TIME,
    Account,
    Batch,
    Columns,
    Instant,
    RowClass,
    SeriesKey,
    SeriesTable,
    Value,
)

S = 1_000_000_000
T0 = 1_700_000_000 * S


class Commit(OpenCommit):
    """The open commit of a test."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.columns: dict[RowClass, Columns] = {}
        self.states: list[bytes] = []
        self.entries: dict[tuple[int, str, int, str], list[int]] = {}

    def rows(self, cls: RowClass) -> Columns:
        return self.columns.setdefault(cls, Columns())

    def state(self, owner: str, data: bytes) -> None:
        assert owner == "line"
        self.states.append(data)

    def book(
        self, account: Account, group: str, cls: int, rule: str, readings: int, payload_bytes: int
    ) -> None:
        entry = self.entries.setdefault((int(account), group, int(cls), rule), [0, 0])
        entry[0] += readings
        entry[1] += payload_bytes


class Books:
    """Sums of the ledger deltas of many commits."""

    def __init__(self) -> None:
        self.entries: dict[tuple[int, str, int, str], list[int]] = {}

    def add(self, commit: Commit) -> None:
        for key, (readings, size) in commit.entries.items():
            entry = self.entries.setdefault(key, [0, 0])
            entry[0] += readings
            entry[1] += size

    def total(self, account: Account) -> int:
        return sum(entry[0] for key, entry in self.entries.items() if key[0] == account)


RIGHT = (
    Account.REFUSED,
    Account.DUPLICATE,
    Account.QUARANTINED,
    Account.HELD,
    Account.FOLDED,
    Account.DROPPED,
    Account.KEPT,
    Account.VOLATILE,
)


def assert_balanced(entries: dict[tuple[int, str, int, str], list[int]]) -> None:
    """Every flow balances in readings and in bytes, and nothing is negative."""
    flows: dict[tuple[str, int, str], list[int]] = {}
    for (account, group, cls, rule), (readings, size) in entries.items():
        flow = flows.setdefault((group, cls, rule), [0, 0])
        sign = 1 if account == Account.OFFERED else -1 if account in RIGHT else 0
        flow[0] += sign * readings
        flow[1] += sign * size
        assert readings >= 0, (Account(account), group, rule, readings)
        assert size >= 0, (Account(account), group, rule, size)
    for key, flow in flows.items():
        assert flow == [0, 0], (key, flow, entries)


def table_of(*names: str, labels: tuple[tuple[str, str], ...] = ()) -> SeriesTable:
    table = SeriesTable()
    for name in names:
        table.intern(SeriesKey(name, labels))
    return table


def batch_of(
    rows: list[tuple[int, int, Value]], *, seq: list[int] | None = None, severity: list[int] | None = None
) -> Batch:
    """One message of rows (sid, ts, value), 10 bytes a reading."""
    return Batch(
        [r[0] for r in rows],
        [r[1] for r in rows],
        [r[2] for r in rows],
        [10] * len(rows),
        seq,
        severity,
        [len(rows)],
    )


def at(seconds: float, *, trusted: bool = True) -> Instant:
    """The moment `seconds` after T0."""
    return Instant(int(seconds * S) + 5 * S, T0 + int(seconds * S), trusted)


__all__ = ["NO_TIME", "T0", "Books", "Commit", "S", "assert_balanced", "at", "batch_of", "table_of"]
