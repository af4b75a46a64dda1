"""The duties of a source, as one check that every source passes, built in or of another package.

A package's test is one line::

    check_duties(DECLARATION, {"path": "..."}, directory)
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect as mi

from headland.sources.contract import Source, SourceBatch, SourceContext, SourceDeclaration
from headland.sources.registry import make_source
from headland.vocabulary import Instant, SeriesKey

_START: Final = Instant(1_000_000_000, 1_700_000_000_000_000_000)
_VALUES: Final = (bool, int, float, str, bytes)
Row = tuple[SeriesKey, int, Any, int]


def check_duties(
    declaration: SourceDeclaration,
    settings: Mapping[str, Any],
    directory: str = ".",
    *,
    polls: int = 20,
    step_s: float = 1.0,
    repeatable: bool = True,
) -> int:
    """Check a source against the duties in `headland.sources.contract`.

    Args:
        declaration: What it declares.
        settings: A configuration that brings readings here, without `kind`.
        directory: Where relative paths start.
        polls: How often it is polled.
        step_s: Seconds between the polls.
        repeatable: Whether equal inputs can be arranged (not for a host's sensors).

    Returns:
        How many readings it brought, at least one.

    Raises:
        AssertionError: A duty is not met; the message names it.
    """
    _check_declaration(declaration)
    table = {"kind": declaration.kind, **settings}
    known = {declaration.kind: declaration}

    def make(position: bytes = b"", most: int = 10_000) -> Source:
        context = SourceContext("duty", random.Random(7), _START, position, directory, most)
        return make_source(table, context, known)

    rows = _run(make(), polls, step_s, 10_000)
    assert rows, "it brought no reading to be checked"
    few = _run(make(most=50), polls, step_s, 50)
    if repeatable:
        assert _run(make(), polls, step_s, 10_000) == rows, "duty 2: equal inputs gave other readings"
        assert few == rows[: len(few)], "duty 1: with small batches it brought other readings"
    _check_positions(make, declaration.durable, polls, step_s, rows)
    closed = make()
    closed.close()
    closed.close()
    assert len(closed.poll(_START)) == 0, "duty 7: a closed source brought readings"
    return len(rows)


def _check_declaration(declaration: SourceDeclaration) -> None:
    example = tomllib.loads(declaration.example)
    assert example.pop("kind", None) == declaration.kind, "the example does not name the kind"
    msgspec.convert(example, declaration.config)
    assert declaration.summary.endswith("."), "the summary is not a sentence"
    assert declaration.config.__struct_config__.frozen, "the configuration is not frozen"
    assert declaration.config.__struct_config__.forbid_unknown_fields, "the configuration takes unknown keys"
    info = mi.type_info(declaration.config)
    assert isinstance(info, mi.StructType)
    for field in info.fields:
        schema = getattr(field.type, "extra_json_schema", None) or {}
        assert schema.get("description"), f"the key `{field.name}` has no description"


def _run(source: Source, polls: int, step_s: float, most: int) -> list[Row]:
    rows: list[Row] = []
    ended = False
    now = _START
    seen = 0
    for number in range(polls):
        now = _START.later(number * step_s)
        for _ in range(1000):
            batch = source.poll(now)
            _check_batch(batch, most)
            assert len(batch.series) >= seen, "duty 3: `series` shrank"
            seen = len(batch.series)
            assert not (ended and len(batch)), "duty 6: it said that nothing would come"
            rows += _rows(batch)
            due = source.next_poll(now)
            ended = due is None
            if due is None or due > now.monotonic_ns or not len(batch):
                break
    assert all(count >= 0 for count in source.counters.values()), "duty 4: a count below zero"
    source.close()
    return rows


def _check_batch(batch: SourceBatch, most: int) -> None:
    length = len(batch.row)
    assert length <= most, f"duty 1: {length} readings, at most {most}"
    assert length == len(batch.ts) == len(batch.value) == len(batch.size), "duty 3: columns of unequal length"
    assert all(0 <= row < len(batch.series) for row in batch.row), "duty 3: a local id out of range"
    assert all(size >= 0 for size in batch.size), "duty 3: a negative size"
    assert all(isinstance(value, _VALUES) for value in batch.value), "duty 3: a value of another type"
    assert all(-(1 << 63) <= at < 1 << 63 for at in batch.ts), "duty 3: a time beyond 64 bits"
    for key in batch.series:
        assert key.name, "duty 3: a series without a name"
        assert key.labels == tuple(sorted(key.labels)), f"duty 3: labels of {key.name} are not sorted"


def _check_positions(make: Any, durable: bool, polls: int, step_s: float, rows: list[Row]) -> None:
    source = make(most=50)
    assert source.snapshot() == b"", "duty 5: a position before any was confirmed"
    given: list[Row] = []
    position: bytes | None = None
    for number in range(polls):
        batch = source.poll(_START.later(number * step_s))
        if len(batch) or batch.position is not None:
            given += _rows(batch)
            position = batch.position
            break
    assert source.snapshot() == b"", "duty 5: the position moved without confirmation"
    if not durable:
        assert position is None, "duty 5: a position, though none is declared"
        source.close()
        return
    assert position is not None, "duty 5: readings without a position"
    source.confirmed(position)
    assert source.snapshot() == position, "duty 5: the confirmed position is not the last one"
    source.close()
    rest = _run(make(position), polls, step_s, 10_000)
    assert given + rest == rows, "duty 5: it did not go on where it was confirmed"


def _rows(batch: SourceBatch) -> list[Row]:
    return [
        (batch.series[row], ts, value, size)
        for row, ts, value, size in zip(batch.row, batch.ts, batch.value, batch.size, strict=True)
    ]
