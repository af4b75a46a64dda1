"""One question over what a node stores: the rows of every applied block, in the order in which they arrived.

`plan` is taken in the loop (it copies references, no data); `run` reads, on a thread of its own. A block is
either in the journal (on the shelf) or in a file of `store/`; one that moves between plan and run is found by
its other place when the query is asked again.

A row's `value` in JSON: numbers, texts and truth values are themselves, and `null` is a reading without a
value. What JSON has no form for is an object of one member, so that a reader can tell it from a text and from
nothing: `{"number": "NaN"}`, `"Infinity"` or `"-Infinity"`, and `{"base64": "..."}` for bytes. The same holds
inside the values of windows and events.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from headland.blocks.block import open_block
from headland.blocks.header import BlockHeader
from headland.journal import DiskReader
from headland.journal.outbox_files import StoredBlock, path_of, read_blocks
from headland.link.contract import Ref
from headland.node.blocks_on_disk import BlockRef, block_at, read_block
from headland.node.kept_files import STORE
from headland.node.names import Names
from headland.node.shelf import Stored
from headland.vocabulary import NO_SEQUENCE, NO_TIME, Columns, RowFlag, RowKind, SeriesKey, StorageDamage

if TYPE_CHECKING:
    from headland.node.core import Node

NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked.

    Attributes:
        series: Pattern on the series' text (`*` is anything).
        origin: Pattern on the origin.
        since_ns: Device time from here on (rows without device time are always given), or None.
        until_ns: Device time before this, or None.
        kind: Only rows of this `RowKind`, or None.
        limit: At most so many rows.
    """

    series: str = "*"
    origin: str = "*"
    since_ns: int | None = None
    until_ns: int | None = None
    kind: int | None = None
    limit: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 10_000_000


class OnShelf(msgspec.Struct, frozen=True):
    """A block in the journal, and the commit that applied it."""

    ref: BlockRef
    arrival_n: int
    arrival_ns: int


class QueryPlan(msgspec.Struct, frozen=True):
    """Where everything is at one moment."""

    shelf: tuple[OnShelf, ...]
    files: tuple[tuple[int, int], ...]
    """(number, noted bytes) of each file, oldest first."""


def plan(node: Node) -> QueryPlan | None:
    """Where the stored blocks are now; None at a node that stores none."""
    shelving = node.parts.shelving
    if shelving.outbox is not None:
        return None
    durable = node.commits.durable_n
    shelf = []
    for item in shelving.shelf.resting:
        place = block_at(node.parts.places, Ref(item.n, item.index), item.priority)
        if place is not None and item.n <= durable:
            shelf.append(OnShelf(place, item.n, shelving.shelf.arrivals.get(item.n, 0)))
    files = tuple((info.number, info.bytes) for info in shelving.files.by_directory[STORE].files())
    return QueryPlan(tuple(shelf), files)


def run(disk: DiskReader, where: QueryPlan, names: Names, question: Question) -> Iterator[dict[str, Any]]:
    """Rows, oldest arrival first.

    Raises:
        StorageDamage: A block cannot be read.
    """
    yield from islice(_rows(disk, where, names, question), question.limit)


def _rows(disk: DiskReader, where: QueryPlan, names: Names, question: Question) -> Iterator[dict[str, Any]]:
    for number, end in where.files:
        path = path_of("store", number)
        for found in read_blocks(disk, path, number, 0, end):
            if not isinstance(found, StoredBlock):
                raise StorageDamage(f"{path}: bytes {found.offset}-{found.end} do not verify")
            stored = msgspec.msgpack.decode(found.body, type=Stored)
            keys = {sid: SeriesKey(name, labels) for sid, name, labels in stored.names}
            columns, _ = open_block(found.header, stored.body)
            yield from _block(found.header, columns, keys, stored.arrival_n, stored.arrival_ns, question)
    for item in where.shelf:
        header, body, sids = read_block(disk, item.ref)
        keys = {sid: names.key(header.origin, header.epoch, sid) for sid in sids}
        columns, _ = open_block(header, body)
        yield from _block(header, columns, keys, item.arrival_n, item.arrival_ns, question)


def text_of(key: SeriesKey) -> str:
    """A series as text: its name, and its labels in braces."""
    if not key.labels:
        return key.name
    return key.name + "{" + ",".join(f"{name}={value}" for name, value in key.labels) + "}"


def in_json(value: Any) -> Any:
    """A value as JSON can say it without loss, see the module."""
    match value:
        case float():
            return value if isfinite(value) else {"number": NOT_FINITE[str(value)]}
        case bytes():
            return {"base64": msgspec.to_builtins(value)}
        case dict():
            return {name: in_json(inner) for name, inner in value.items()}
        case list() | tuple():
            return [in_json(inner) for inner in value]
        case _:
            return value


def _block(
    header: BlockHeader,
    columns: Columns,
    keys: dict[int, SeriesKey],
    arrival_n: int,
    arrival_ns: int,
    question: Question,
) -> Iterator[dict[str, Any]]:
    if not fnmatchcase(header.origin, question.origin):
        return
    texts = {sid: text_of(key) for sid, key in keys.items()}
    wanted = {sid for sid, text in texts.items() if fnmatchcase(text, question.series)}
    if not wanted:
        return
    for i, sid in enumerate(columns.sid):
        if sid not in wanted:
            continue
        ts = columns.ts[i]
        kind = columns.kind[i] if columns.kind is not None else 0
        if question.kind is not None and kind != question.kind:
            continue
        if ts != NO_TIME and (
            (question.since_ns is not None and ts < question.since_ns)
            or (question.until_ns is not None and ts >= question.until_ns)
        ):
            continue
        seq = columns.seq[i] if columns.seq is not None else NO_SEQUENCE
        flags = columns.flags[i] if columns.flags is not None else 0
        value: Any = columns.value[i]
        if kind != RowKind.READING and isinstance(value, bytes):
            value = msgspec.msgpack.decode(value)
        value = in_json(value)
        yield {
            "series": texts[sid],
            "ts": None if ts == NO_TIME else ts,
            "seq": None if seq == NO_SEQUENCE else seq,
            "value": value,
            "kind": kind,
            "severity": flags >> RowFlag.SEVERITY_SHIFT,
            "_origin": header.origin,
            "_class": int(header.priority),
            "_lane": header.path,
            "_k": header.k,
            "_arrival": arrival_n,
            "_arrived_ns": arrival_ns,
            "_rule_version": "",
            "_late": bool(flags & RowFlag.LATE),
            "_boost": bool(flags & RowFlag.BOOST),
            "_flags": flags & 0xFF,
        }
