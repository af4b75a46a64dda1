"""Keys of HTTP requests whose readings are durable, so that a repeat is answered and not stored again.

Laws:
    1. A key means (principal, key); its record holds a digest of the request. The same key with another
       digest is a conflict, for as long as the record lives.
    2. A record is durable in the commit of its readings: its delta rides in the same frame.
    3. At most 65,536 records, each at most 24 h; a record evicted before that is counted. Age is judged only
       while the clock is trusted.
    4. A record whose commit is not yet durable is pending: repeats wait for it, it is never evicted, and if
       it is refused it never was.

| event | unknown | pending | done |
|---|---|---|---|
| same digest | becomes pending | waits | answered again |
| other digest | becomes pending | conflict | conflict |
| committed | - | done | - |
| refused | - | unknown | - |
| evicted, older than 24 h | - | - | unknown |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from headland.vocabulary import Instant, StorageDamage

KEYS_KEPT: Final = 65_536
KEEP_NS: Final = 24 * 3600 * 1_000_000_000
_CLOCK_STEP_NS: Final = 10 * 365 * KEEP_NS
"""A record that seems older was made before the clock was set; it leaves by number only."""

Owner = tuple[str, str]


class KeyRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request that was accepted under a key.

    Attributes:
        principal: Who sent it.
        key: Its ``Idempotency-Key``.
        digest: BLAKE2b-128 of what was sent.
        status: Status of the answer.
        accepted: Readings in it.
        wall_ns: When it was accepted, ns UTC.
    """

    principal: str
    key: str
    digest: bytes
    status: int
    accepted: int
    wall_ns: int

    @property
    def owner(self) -> Owner:
        """What the record is found by."""
        return self.principal, self.key


_encode: Final = msgspec.msgpack.Encoder().encode
_one: Final = msgspec.msgpack.Decoder(KeyRecord)
_many: Final = msgspec.msgpack.Decoder(list[KeyRecord])


class Keys:
    """The records, oldest first.

    Attributes:
        early_evictions: Records that gave way to newer ones before their 24 h.
    """

    def __init__(self, kept: int = KEYS_KEPT) -> None:
        self.early_evictions = 0
        self._kept = kept
        self._done: dict[Owner, KeyRecord] = {}
        self._pending: dict[Owner, KeyRecord] = {}

    def __len__(self) -> int:
        return len(self._done) + len(self._pending)

    def find(self, owner: Owner, now: Instant) -> KeyRecord | None:
        """The record of a key, after forgetting those that are too old."""
        if now.trusted:
            for old in list(self._too_old(now.wall_ns)):
                del self._done[old]
        return self._pending.get(owner) or self._done.get(owner)

    def begin(self, record: KeyRecord) -> bytes:
        """A new request was accepted.

        Returns:
            The delta for the commit of its readings.
        """
        self._pending[record.owner] = record
        return _encode(record)

    def committed(self, record: KeyRecord) -> None:
        """Its commit is durable."""
        self._pending.pop(record.owner, None)
        self._keep(record)

    def refused(self, record: KeyRecord) -> None:
        """It was not stored: a repeat is a new request."""
        self._pending.pop(record.owner, None)

    def snapshot(self) -> bytes:
        """All records, pending ones included: their deltas are in the commit of this snapshot or before."""
        return _encode([*self._done.values(), *self._pending.values()])

    def restore(self, data: bytes) -> None:
        """Take over a snapshot.

        Raises:
            StorageDamage: The bytes are not one.
        """
        self._done.clear()
        self._pending.clear()
        try:
            records = _many.decode(data) if data else []
        except msgspec.MsgspecError as error:
            raise StorageDamage(f"idempotency keys: {error}") from error
        for record in records:
            self._keep(record)

    def replay(self, data: bytes) -> None:
        """Apply one delta.

        Raises:
            StorageDamage: The bytes are not one.
        """
        try:
            self._keep(_one.decode(data))
        except msgspec.MsgspecError as error:
            raise StorageDamage(f"an idempotency key: {error}") from error

    def _keep(self, record: KeyRecord) -> None:
        self._done.pop(record.owner, None)
        self._done[record.owner] = record
        while len(self._done) > self._kept:
            del self._done[next(iter(self._done))]
            self.early_evictions += 1

    def _too_old(self, wall_ns: int) -> Iterator[Owner]:
        for owner, record in self._done.items():
            age = wall_ns - record.wall_ns
            if age <= KEEP_NS:
                return
            if age < _CLOCK_STEP_NS:
                yield owner
