"""The books: where every reading and every payload byte is, in double entry.

Laws
    1. Deltas ride in the frame of the data they speak of, so the books balance after any crash.
    2. South:  offered = refused + duplicate + quarantined + held + folded + dropped + kept + volatile,
       for every (group, class, rule).
    3. North:  kept + derived + received = pending + committed + expired + shed + dead + corrupt
       + lost_by_restore + unknown_by_restore + held_above, for every class. At a node that stores and has
       no parent the right side is unapplied + applied + duplicate_received.
    4. No account holds less than nothing: what is moved out was there.
    5. All hold in readings and in payload bytes, at every commit. A failed equation is a defect: the node
       withdraws its claim of health until it is restarted from a journal that balances.

Format of a delta and of a snapshot (msgpack): list of [account, group, class, rule, readings, bytes].
Hourly totals per (account, group, class, rule) of the last 90 days live in a bounded table: at most
`HOURLY_FLOWS` flows in any hour, the rest is added to the flow "other".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from headland.journal import LedgerEntry
from headland.vocabulary import Account

HOURLY_KEPT = 90 * 24
HOURLY_FLOWS = 64
HOUR_NS = 3_600_000_000_000

SOUTH_LEFT = (Account.OFFERED,)
SOUTH_RIGHT = (
    Account.REFUSED,
    Account.DUPLICATE,
    Account.QUARANTINED,
    Account.HELD,
    Account.FOLDED,
    Account.DROPPED,
    Account.KEPT,
    Account.VOLATILE,
)
NORTH_LEFT = (Account.KEPT, Account.DERIVED, Account.RECEIVED, Account.RESTORED)
NORTH_RIGHT = (
    Account.PENDING,
    Account.COMMITTED,
    Account.EXPIRED,
    Account.SHED,
    Account.DEAD,
    Account.CORRUPT,
    Account.LOST_BY_RESTORE,
    Account.UNKNOWN_BY_RESTORE,
    Account.HELD_ABOVE,
    Account.UNAPPLIED,
    Account.APPLIED,
    Account.DUPLICATE_RECEIVED,
)

_K = TypeVar("_K")

Key = tuple[int, str, int, str]
"""(account, series group, class, rule)."""
Deltas = Mapping[Key, list[int]]
"""Key -> [readings, payload bytes]."""


class Imbalance(msgspec.Struct, frozen=True):
    """One equation that does not hold."""

    equation: str
    group: str
    cls: int
    rule: str
    readings: int
    payload_bytes: int


_entries = msgspec.msgpack.Decoder(list[LedgerEntry])
_snapshots = msgspec.msgpack.Decoder(tuple[list[LedgerEntry], dict[str, list[LedgerEntry]]])
_encoder = msgspec.msgpack.Encoder()


def encode_deltas(deltas: Deltas) -> bytes:
    """The LEDGER section of a frame."""
    return _encoder.encode([[*key, *amount] for key, amount in deltas.items() if amount[0] or amount[1]])


def decode_deltas(data: bytes) -> dict[Key, list[int]]:
    """Inverse of `encode_deltas`.

    Raises:
        msgspec.DecodeError: The bytes are not a delta.
    """
    return {
        (entry.account, entry.group, entry.cls, entry.rule): [entry.readings, entry.payload_bytes]
        for entry in _entries.decode(data)
    }


class Ledger:
    """Running totals of one node.

    Attributes:
        balances: Key -> [readings, payload bytes] since the data directory was made.
        hours: Hour (ns // HOUR_NS) -> the hour's own deltas, bounded (see the module).
    """

    def __init__(self) -> None:
        self.balances: dict[Key, list[int]] = {}
        self.hours: dict[int, dict[Key, list[int]]] = {}
        self._south: dict[tuple[str, int, str], list[int]] = {}
        self._north: dict[int, list[int]] = {}

    def apply(self, deltas: Deltas, node_ns: int) -> list[Imbalance]:
        """Add one commit's deltas; the equations that fail afterwards (none in a correct program)."""
        hour = self.hours.setdefault(node_ns // HOUR_NS, {})
        touched_south: set[tuple[str, int, str]] = set()
        touched_north: set[int] = set()
        for key, amount in deltas.items():
            _add(self.balances, key, amount)
            _add_bounded(hour, key, amount)
            self._weigh(key, amount, touched_south, touched_north)
        self._forget_old_hours()
        return self._failures(touched_south, touched_north) + self._overdrawn(deltas)

    def total(self, account: Account, cls: int | None = None) -> tuple[int, int]:
        """Readings and payload bytes of an account, of one class or of all."""
        readings = payload_bytes = 0
        for (acc, _, key_cls, _), amount in self.balances.items():
            if acc == account and (cls is None or key_cls == cls):
                readings += amount[0]
                payload_bytes += amount[1]
        return readings, payload_bytes

    def check(self) -> list[Imbalance]:
        """Every equation, over everything."""
        return self._failures(set(self._south), set(self._north)) + self._overdrawn(self.balances)

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        return _encoder.encode(
            [
                [[*key, *amount] for key, amount in self.balances.items()],
                {
                    str(hour): [[*key, *amount] for key, amount in flows.items()]
                    for hour, flows in self.hours.items()
                },
            ]
        )

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        balances, hours = _snapshots.decode(data)
        self.balances.clear()
        self._south.clear()
        self._north.clear()
        for entry in balances:
            key = (entry.account, entry.group, entry.cls, entry.rule)
            amount = [entry.readings, entry.payload_bytes]
            self.balances[key] = amount
            self._weigh(key, amount, set(), set())
        self.hours = {
            int(hour): {(e.account, e.group, e.cls, e.rule): [e.readings, e.payload_bytes] for e in flows}
            for hour, flows in hours.items()
        }

    def _weigh(
        self,
        key: Key,
        amount: list[int],
        touched_south: set[tuple[str, int, str]],
        touched_north: set[int],
    ) -> None:
        account, group, cls, rule = key
        if account in _SOUTH_SIGN:
            flow = (group, cls, rule)
            _signed(self._south, flow, amount, _SOUTH_SIGN[account])
            touched_south.add(flow)
        if account in _NORTH_SIGN:
            _signed(self._north, cls, amount, _NORTH_SIGN[account])
            touched_north.add(cls)

    def _overdrawn(self, keys: Iterable[Key]) -> list[Imbalance]:
        """Accounts that hold less than nothing: something was moved out twice."""
        failed = []
        for key in keys:
            readings, payload_bytes = self.balances[key]
            if readings < 0 or payload_bytes < 0:
                account, group, cls, rule = key
                name = f"{Account(account).name.lower()} >= 0"
                failed.append(Imbalance(name, group, cls, rule, readings, payload_bytes))
        return failed

    def _failures(self, south: Iterable[tuple[str, int, str]], north: Iterable[int]) -> list[Imbalance]:
        failed = [
            Imbalance("south", *flow, *self._south[flow])
            for flow in sorted(south)
            if self._south[flow] != [0, 0]
        ]
        failed += [
            Imbalance("north", "", cls, "", *self._north[cls])
            for cls in sorted(north)
            if self._north[cls] != [0, 0]
        ]
        return failed

    def _forget_old_hours(self) -> None:
        while len(self.hours) > HOURLY_KEPT:
            del self.hours[min(self.hours)]


_SOUTH_SIGN: dict[int, int] = {int(a): 1 for a in SOUTH_LEFT} | {int(a): -1 for a in SOUTH_RIGHT}
_NORTH_SIGN: dict[int, int] = {int(a): 1 for a in NORTH_LEFT} | {int(a): -1 for a in NORTH_RIGHT}


def _add(table: dict[Key, list[int]], key: Key, amount: list[int]) -> None:
    held = table.get(key)
    if held is None:
        table[key] = amount[:]
    else:
        held[0] += amount[0]
        held[1] += amount[1]


def _add_bounded(table: dict[Key, list[int]], key: Key, amount: list[int]) -> None:
    if key not in table and len(table) >= HOURLY_FLOWS:
        key = (key[0], "other", key[2], "other")
    _add(table, key, amount)


def _signed(table: dict[_K, list[int]], key: _K, amount: list[int], sign: int) -> None:
    held = table.setdefault(key, [0, 0])
    held[0] += sign * amount[0]
    held[1] += sign * amount[1]
