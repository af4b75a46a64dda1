"""Payloads that are not readings: kept whole in a bounded list, durable before their publish is acknowledged.

At most `ENTRIES_MAX` entries and `BYTES_MAX` bytes; the oldest makes room and is counted. Each commit carries
what it added (STATE section "quarantine", msgpack array of `Quarantined`); a checkpoint carries the list.
"""

from __future__ import annotations

from collections import deque

import msgspec

ENTRIES_MAX = 1_000
BYTES_MAX = 4 << 20
OWNER = "quarantine"


class Quarantined(msgspec.Struct, frozen=True, array_like=True):
    """One payload that did not fit.

    Attributes:
        number: 1, 2, 3 ... on this node.
        node_ns: When it arrived, ns UTC.
        client: Who sent it.
        topic: Topic or path.
        reason: Stable word, see `headland.line.formats.RejectReason`.
        detail: Where and what.
        payload: The bytes, whole.
    """

    number: int
    node_ns: int
    client: str
    topic: str
    reason: str
    detail: str
    payload: bytes


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One payload as `/v1/quarantine` lists it: who sent it when, why it did not fit, its bytes in base64."""

    number: int
    node_ns: int
    client: str
    topic: str
    reason: str
    detail: str
    bytes: int
    payload: str
    preview: str


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `/v1/quarantine`.

    Attributes:
        evicted: Payloads that had to make room.
        entries: The oldest first.
    """

    evicted: int
    entries: list[Entry]


class Quarantine:
    """The newest payloads that did not fit."""

    def __init__(self) -> None:
        self._entries: deque[Quarantined] = deque()
        self._bytes = 0
        self._next = 1
        self.evicted = 0

    def add(
        self, node_ns: int, client: str, topic: str, reason: str, detail: str, payload: bytes
    ) -> Quarantined:
        """Keep a payload; the entry has to become durable with the commit that is open."""
        entry = Quarantined(self._next, node_ns, client, topic, reason, detail, payload)
        self._insert(entry)
        return entry

    def entries(self) -> list[Quarantined]:
        """What is kept, oldest first."""
        return list(self._entries)

    def replay(self, data: bytes) -> None:
        """Entries of a recovered commit."""
        for entry in msgspec.msgpack.decode(data, type=list[Quarantined]):
            self._insert(entry)

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        return msgspec.msgpack.encode([self._next, self.evicted, list(self._entries)])

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        next_number, evicted, entries = msgspec.msgpack.decode(data, type=tuple[int, int, list[Quarantined]])
        self._entries.clear()
        self._bytes = 0
        for entry in entries:
            self._insert(entry)
        self._next, self.evicted = next_number, evicted

    def _insert(self, entry: Quarantined) -> None:
        self._entries.append(entry)
        self._bytes += len(entry.payload)
        self._next = entry.number + 1
        while len(self._entries) > ENTRIES_MAX or (self._bytes > BYTES_MAX and len(self._entries) > 1):
            self._bytes -= len(self._entries.popleft().payload)
            self.evicted += 1
