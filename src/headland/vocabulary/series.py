"""Series: what a reading belongs to, and this node's numbering of them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

SERIES_CAP = 100_000
"""Series a node numbers; readings of further ones are quarantined (a device that invents names is a
fault)."""


class SeriesKey(msgspec.Struct, frozen=True, order=True):
    """Identity of a series within its origin: a name and sorted labels."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Its name, and its labels in braces."""
        if not self.labels:
            return self.name
        return self.name + "{" + ",".join(f"{name}={value}" for name, value in self.labels) + "}"


class SeriesTable:
    """Dense ids 1, 2, 3 ... of this node's own series; append-only, durable through the journal.

    `take_new` yields what was numbered since the last call: those definitions ride in the commit that first
    uses them. Ids are scoped by (origin, epoch) for everybody else.

    Every series that is numbered here gets the node's labels, once and in its definition: whoever is told of
    it further north, and every rule, sees them. A label of the same name that a reading brought counts more.

    Args:
        labels: The node's, as pairs (name, value).
    """

    def __init__(self, labels: Iterable[tuple[str, str]] = ()) -> None:
        self._labels = tuple(labels)
        self._ids: dict[SeriesKey, int] = {}
        self._keys: list[SeriesKey] = []
        self._new: list[tuple[int, SeriesKey]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def intern(self, key: SeriesKey) -> int:
        """The id of `key` with the node's labels, numbered now if it is new; 0 when the table is full."""
        key = self.labelled(key)
        known = self._ids.get(key)
        if known is not None:
            return known
        if len(self._keys) >= SERIES_CAP:
            return 0
        self._keys.append(key)
        sid = len(self._keys)
        self._ids[key] = sid
        self._new.append((sid, key))
        return sid

    def find(self, key: SeriesKey) -> int:
        """The id of `key` with the node's labels, or 0 when it has none."""
        return self._ids.get(self.labelled(key), 0)

    def labelled(self, key: SeriesKey) -> SeriesKey:
        """`key` with those of the node's labels that it has not itself."""
        if not self._labels:
            return key
        labels = dict(self._labels)
        labels.update(key.labels)
        return SeriesKey(key.name, tuple(sorted(labels.items())))

    def key(self, sid: int) -> SeriesKey:
        """The key numbered `sid` (1 ...)."""
        return self._keys[sid - 1]

    def take_new(self) -> list[tuple[int, SeriesKey]]:
        """Definitions made since the last call."""
        new, self._new = self._new, []
        return new

    def restore(self, definitions: Iterable[tuple[int, SeriesKey]]) -> None:
        """Replay definitions read from the journal; each already known one is skipped."""
        for sid, key in definitions:
            if sid == len(self._keys) + 1:
                self._keys.append(key)
                self._ids[key] = sid

    def all(self) -> list[tuple[int, SeriesKey]]:
        """Every definition in id order."""
        return list(enumerate(self._keys, start=1))
