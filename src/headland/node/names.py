"""Names of series: this node's own numbering, and what children have told of other origins.

SERIES section of a commit, msgpack: [origin, epoch, [[sid, name, labels] ...]]; own definitions have origin
"" and hold for all epochs of this data directory.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headland.link.actions import Definitions
from headland.vocabulary import DefectError, SeriesKey, SeriesTable

_Section = tuple[str, bytes, list[tuple[int, str, tuple[tuple[str, str], ...]]]]
_decoder = msgspec.msgpack.Decoder(_Section)
_snapshots = msgspec.msgpack.Decoder(list[_Section])


class Names:
    """Own and foreign series of one node."""

    def __init__(self, origin: str, table: SeriesTable) -> None:
        self._origin = origin
        self.table = table
        self._foreign: dict[tuple[str, bytes], dict[int, SeriesKey]] = {}

    def key(self, origin: str, epoch: bytes, sid: int) -> SeriesKey:
        """The name of a series of any origin; this node's own are the same in every epoch of its directory.

        Nobody else's blocks come under its own name: a child that brings them is not authorised for it.

        Raises:
            DefectError: It was never defined here.
        """
        if origin == self._origin and 0 < sid <= len(self.table):
            return self.table.key(sid)
        try:
            return self._foreign[(origin, epoch)][sid]
        except KeyError:
            raise DefectError(f"series {sid} of {origin} has no name here") from None

    def own_section(self) -> bytes | None:
        """Definitions made since the last call, for the open commit; None when there are none."""
        new = self.table.take_new()
        return encode("", b"", new) if new else None

    def learn(self, definitions: Definitions) -> bytes | None:
        """Take a child's definitions; the section for the open commit, or None when all were known.

        The first definition is final: rows that are here already must not change their names.
        """
        known = self._foreign.setdefault((definitions.origin, definitions.epoch), {})
        new = [(sid, key) for sid, key in definitions.series if sid not in known]
        if not new:
            return None
        known.update(new)
        return encode(definitions.origin, definitions.epoch, new)

    def renamed(self, definitions: Definitions) -> list[int]:
        """Series that have another name here."""
        known = self._foreign.get((definitions.origin, definitions.epoch), {})
        return [sid for sid, key in definitions.series if known.get(sid, key) != key]

    def replay(self, data: bytes) -> None:
        """A SERIES section of a recovered commit."""
        self._apply(_decoder.decode(data))

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        sections = [_plain("", b"", self.table.all())]
        sections += [_plain(*scope, known.items()) for scope, known in self._foreign.items()]
        return msgspec.msgpack.encode(sections)

    def restore(self, data: bytes) -> None:
        """Everything from a snapshot (into an empty table)."""
        for section in _snapshots.decode(data):
            self._apply(section)

    def _apply(self, section: _Section) -> None:
        origin, epoch, rows = section
        keys = [(sid, SeriesKey(name, labels)) for sid, name, labels in rows]
        if origin:
            self._foreign.setdefault((origin, epoch), {}).update(keys)
        else:
            self.table.restore(keys)


def encode(origin: str, epoch: bytes, definitions: Iterable[tuple[int, SeriesKey]]) -> bytes:
    """Body of a SERIES section."""
    return msgspec.msgpack.encode(_plain(origin, epoch, definitions))


def decode(data: bytes) -> tuple[str, bytes, dict[int, SeriesKey]]:
    """Origin, epoch and definitions of a SERIES section."""
    origin, epoch, rows = _decoder.decode(data)
    return origin, epoch, {sid: SeriesKey(name, labels) for sid, name, labels in rows}


def _plain(origin: str, epoch: bytes, definitions: Iterable[tuple[int, SeriesKey]]) -> _Section:
    return origin, epoch, [(sid, key.name, key.labels) for sid, key in definitions]
