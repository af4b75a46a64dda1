"""One question over what a node stores: the rows of every applied block, by event time or by arrival.

`plan` is taken in the loop (it copies references, no data); `answer` reads, on a thread of its own, twice:
what has to be known of all blocks first (`headland.node.survey`), then the rows. A block is either in the
journal (on the shelf) or in a file of `store/`; one that moves between plan and reading is found by its other
place when the question is asked again.

The order `time` is (event time, ordinal of the origin's epoch, commit at the origin). Event time is device
time or, where that is absent or cannot be, node time at the origin. An answer is at most `ANSWER_BYTES_MAX`
bytes of JSON; no more rows than twice its limit are held while it is sorted.

A row's `value` in JSON: numbers, texts and truth values are themselves, and `null` is a reading without a
value. What JSON has no form for is an object of one member, so that a reader can tell it from a text and from
nothing: `{"number": "NaN"}`, `"Infinity"` or `"-Infinity"`, and `{"base64": "..."}` for bytes. The same holds
inside the values of windows and events.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from headland.blocks.block import open_block
from headland.blocks.header import BlockHeader
from headland.journal import DiskReader
from headland.journal.outbox_files import StoredBlock, path_of, read_blocks
from headland.line.line import RULES_SERIES
from headland.link.contract import Ref
from headland.node.blocks_on_disk import BlockRef, block_at, read_block
from headland.node.kept_files import STORE
from headland.node.names import Names
from headland.node.shelf import Stored
from headland.node.survey import DERIVED, NARROW, Survey, derived_of
from headland.vocabulary import (
    NO_SEQUENCE,
    NO_TIME,
    CapacityError,
    Columns,
    RowFlag,
    RowKind,
    SeriesKey,
    StorageDamage,
)

if TYPE_CHECKING:
    from headland.node.core import Node

ANSWER_BYTES_MAX = 128 << 20
"""Largest answer, in memory once."""
NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
SortKey = tuple[int, str, int, int, int, int, int]
"""Event time, origin, ordinal of its epoch, commit there, class, block, row."""


ANYTHING = "*"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked.

    Attributes:
        series: Pattern on the series' name, or on its text with labels (`*` is anything; rows of
            `headland/rules` are given when they are asked for by series or kind).
        origin: Pattern on the origin.
        since_ns: Event time from here on, ns UTC, or None.
        until_ns: Event time before this, or None.
        kind: Only rows of this `RowKind`, or None.
        order: By event time, or by arrival at this node.
        forked: Only rows of blocks that are kept beside, because another of their identity had been applied.
        revisions: The highest revision of each derived row, or all of them.
        limit: At most so many rows, the first in this order.
    """

    series: str = ANYTHING
    origin: str = "*"
    since_ns: int | None = None
    until_ns: int | None = None
    kind: int | None = None
    forked: bool = False
    order: Literal["time", "arrival"] = "time"
    revisions: Literal["newest", "all"] = "newest"
    limit: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 10_000_000


class OnShelf(msgspec.Struct, frozen=True):
    """A block in the journal, and the commit that applied it."""

    ref: BlockRef
    arrival_n: int
    arrival_ns: int
    unproven: bool = False
    forked: bool = False
    known: int = 0


class QueryPlan(msgspec.Struct, frozen=True):
    """Where everything is at one moment."""

    shelf: tuple[OnShelf, ...]
    files: tuple[tuple[int, int], ...]
    """(number, noted bytes) of each file, oldest first."""


class _Block(msgspec.Struct):
    """A stored block, not decoded yet.

    Attributes:
        header: Its header.
        body: Its body.
        keys: Series in it.
        arrival_n: Commit of this node that applied it.
        arrival_ns: Node time of that commit.
        unproven: Whether it may have come before: its epoch had been forgotten.
        forked: Whether it is kept beside another of its identity.
        known: So many of its first rows are in a shorter block of its identity.
    """

    header: BlockHeader
    body: bytes
    keys: dict[int, SeriesKey]
    arrival_n: int
    arrival_ns: int
    unproven: bool
    forked: bool
    known: int

    def columns(self) -> Columns:
        """Its rows."""
        return open_block(self.header, self.body)[0]

    def in_commits(self) -> Iterator[tuple[int, int, int]]:
        """Of each of its rows: its index, the commit at the origin that brought it, and its index there."""
        at = 0
        for run in self.header.runs:
            for index in range(run.rows):
                if at + index >= self.known:
                    yield at + index, run.n, index
            at += run.rows

    def wanted(self, question: Question) -> dict[int, str]:
        """Texts of the series in it that the question is about."""
        if self.forked != question.forked or not fnmatchcase(self.header.origin, question.origin):
            return {}
        texts = {sid: str(key) for sid, key in self.keys.items()}
        asked = question.series
        return {
            sid: text
            for sid, text in texts.items()
            if fnmatchcase(text, asked) or fnmatchcase(self.keys[sid].name, asked)
        }


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
            arrival_ns = shelving.shelf.arrivals.get(item.n, 0)
            shelf.append(OnShelf(place, item.n, arrival_ns, item.unproven, item.forked, item.known))
    files = tuple((info.number, info.bytes) for info in shelving.files.by_directory[STORE].files())
    return QueryPlan(tuple(shelf), files)


def answer(
    disk: DiskReader, where: QueryPlan, names: Names, question: Question, damage: list[str] | None = None
) -> bytes:
    """The rows as one JSON object.

    Args:
        disk: Where they are.
        where: What `plan` has found.
        names: Series of blocks in the journal.
        question: Which rows.
        damage: Takes what cannot be read and is stepped around; the answer lists it under "damaged". None to
            raise instead.

    Raises:
        CapacityError: The answer is too large.
        StorageDamage: A block cannot be read.
        OSError: The same.
    """
    encoder = msgspec.json.Encoder()
    found: list[tuple[SortKey, bytes]] = []
    size = 0
    limit, by_time = question.limit, question.order == "time"
    for key, row in rows(disk, where, names, question, damage) if limit else ():
        found.append((key, encoder.encode(row)))
        size += len(found[-1][1]) + 1
        if by_time and (len(found) >= 2 * limit or size > 2 * ANSWER_BYTES_MAX):
            found.sort()
            del found[limit:]
            size = sum(len(data) + 1 for _, data in found)
        if size > ANSWER_BYTES_MAX and (not by_time or len(found) <= limit):
            raise CapacityError(f"the answer is larger than {ANSWER_BYTES_MAX} bytes", hint=NARROW)
        if not by_time and len(found) == limit:
            break
    if by_time:
        found.sort()
        del found[limit:]
    told = b',"damaged":' + encoder.encode(sorted(set(damage))) if damage else b""
    return b'{"rows":[' + b",".join(data for _, data in found) + b"]" + told + b"}"


def rows(
    disk: DiskReader, where: QueryPlan, names: Names, question: Question, damage: list[str] | None = None
) -> Iterator[tuple[SortKey, dict[str, Any]]]:
    """Rows in order of arrival, whatever the question says of order and limit, with what sorts them by time.

    Raises:
        CapacityError: There are too many derived rows to be compared.
        StorageDamage: A block cannot be read.
    """
    survey = _surveyed(disk, where, names, question, damage)
    for block in _blocks(disk, where, names, damage):
        texts = block.wanted(question)
        if texts:
            yield from _rows(block, texts, survey, question)


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


def _blocks(disk: DiskReader, where: QueryPlan, names: Names, damage: list[str] | None) -> Iterator[_Block]:
    for number, end in where.files:
        for found in _records(disk, path_of("store", number), number, end, damage):
            stored = msgspec.msgpack.decode(found.body, type=Stored)
            keys = {sid: SeriesKey(name, labels) for sid, name, labels in stored.names}
            arrived = stored.arrival_n, stored.arrival_ns, stored.unproven, stored.forked, stored.known
            yield _Block(found.header, stored.body, keys, *arrived)
    for item in where.shelf:
        try:
            header, body, sids = read_block(disk, item.ref)
        except (StorageDamage, OSError) as error:
            if damage is None:
                raise
            damage.append(str(error))
            continue
        keys = {sid: names.key(header.origin, header.epoch, sid) for sid in sids}
        arrived = item.arrival_n, item.arrival_ns, item.unproven, item.forked, item.known
        yield _Block(header, body, keys, *arrived)


def _records(
    disk: DiskReader, path: str, number: int, end: int, damage: list[str] | None
) -> Iterator[StoredBlock]:
    """Records of one file of the store; what does not verify is told, and stepped around."""
    try:
        for found in read_blocks(disk, path, number, 0, end):
            if isinstance(found, StoredBlock):
                yield found
            elif damage is None:
                raise StorageDamage(f"{path}: bytes {found.offset}-{found.end} do not verify")
            else:
                damage.append(f"{path}: bytes {found.offset}-{found.end} do not verify")
    except OSError as error:
        if damage is None:
            raise
        damage.append(f"{path}: {error.strerror or error}")


def _surveyed(
    disk: DiskReader, where: QueryPlan, names: Names, question: Question, damage: list[str] | None
) -> Survey:
    survey = Survey()
    for block in _blocks(disk, where, names, damage):
        header = block.header
        if block.forked != question.forked or not fnmatchcase(header.origin, question.origin):
            continue
        survey.header(header)
        rules = [sid for sid, key in block.keys.items() if key.name == RULES_SERIES.name]
        texts = block.wanted(question)
        if not rules and not texts:
            continue
        columns = block.columns()
        if columns.kind is None or not any(columns.kind):
            continue
        for i, n, _ in block.in_commits():
            kind, sid, value = columns.kind[i], columns.sid[i], columns.value[i]
            if kind == RowKind.CONFIG and sid in rules and isinstance(value, bytes):
                survey.configured(header.origin, n, msgspec.msgpack.decode(value))
            elif kind in DERIVED and sid in texts and isinstance(value, bytes):
                survey.derived(header.origin, texts[sid], header.epoch, msgspec.msgpack.decode(value))
    survey.done()
    return survey


def _rows(
    block: _Block, texts: dict[int, str], survey: Survey, question: Question
) -> Iterator[tuple[SortKey, dict[str, Any]]]:
    header, columns = block.header, block.columns()
    origin, priority = header.origin, header.priority
    epoch = survey.ordinal(origin, header.epoch)
    node_times = {run.n: run.node_ns for run in header.runs}
    labels = {sid: dict(block.keys[sid].labels) for sid in texts}
    for i, n, index in block.in_commits():
        sid, ts = columns.sid[i], columns.ts[i]
        kind = columns.kind[i] if columns.kind is not None else 0
        flags = columns.flags[i] if columns.flags is not None else 0
        by_node = ts == NO_TIME or bool(flags & RowFlag.TIME_IMPLAUSIBLE)
        event_ns = node_times[n] if by_node else ts
        if sid not in texts or _outside(event_ns, kind, question):
            continue
        if kind == RowKind.CONFIG and question.series == ANYTHING and question.kind is None:
            continue
        value: Any = columns.value[i]
        if kind != RowKind.READING and isinstance(value, bytes):
            value = msgspec.msgpack.decode(value)
        derived = derived_of(origin, texts[sid], header.epoch, value) if kind in DERIVED else None
        if derived is not None and question.revisions == "newest" and survey.superseded(derived):
            continue
        seq = columns.seq[i] if columns.seq is not None else NO_SEQUENCE
        row = {
            "series": texts[sid],
            "name": block.keys[sid].name,
            "labels": labels[sid],
            "ts": None if ts == NO_TIME else ts,
            "seq": None if seq == NO_SEQUENCE else seq,
            "value": in_json(value),
            "kind": kind,
            "severity": flags >> RowFlag.SEVERITY_SHIFT,
            "_origin": origin,
            "_site": origin.partition("/")[0],
            "_epoch": epoch,
            "_n": n,
            "_node_ns": node_times[n],
            "_by_node": by_node,
            "_class": int(priority),
            "_lane": header.path,
            "_k": header.k,
            "_arrival": block.arrival_n,
            "_arrived_ns": block.arrival_ns,
            "_rule_version": survey.rules_at(origin, n, priority, index),
            "_late": bool(flags & RowFlag.LATE),
            "_boost": bool(flags & RowFlag.BOOST),
            "_overlap": derived is not None and survey.overlaps(derived),
            "_uniqueness_unproven": block.unproven,
            "_flags": flags & 0xFF,
        }
        yield (event_ns, origin, epoch, n, priority, header.k, i), row


def _outside(event_ns: int, kind: int, question: Question) -> bool:
    """Whether a row is not of the kind, or its event time not in the span, that is asked for."""
    if question.kind is not None and kind != question.kind:
        return True
    if question.since_ns is not None and event_ns < question.since_ns:
        return True
    return question.until_ns is not None and event_ns >= question.until_ns
