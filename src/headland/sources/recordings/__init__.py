"""Recorded data: files of many kinds as records in order, streaming, with bounded memory."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Final

import msgspec

from headland.sources.contract import SeriesList
from headland.sources.recordings.lines import json_records, log_records
from headland.sources.recordings.record import KNOWN, Hint, Record
from headland.sources.recordings.tables import table_records

_TABLES: Final = frozenset({"csv", "tsv"})
_JSON_LINES: Final = frozenset({"jsonl", "ndjson"})
_NOT_LOGS: Final = frozenset({"json", "md", "txt", "html", "gif", "png", "jpg", "pem", "toml"})
_INDEX: Final = "MANIFEST.csv"


def is_recording(path: Path) -> bool:
    """Whether a file's name is one that can be replayed."""
    return path.is_file() and kind_of(path) != ""


def kind_of(path: Path) -> str:
    """``table``, ``archive``, ``json`` or ``log`` by the name; "" for others (documents, media)."""
    parts = path.name.lower().removesuffix(".gz").split(".")
    if len(parts) < 2 or path.name == _INDEX:
        return ""
    last = parts[-1]
    if last in _TABLES:
        return "table"
    if last == "npz":
        return "archive"
    if last in _JSON_LINES:
        return "json"
    return "log" if "log" in parts[1:] and last not in _NOT_LOGS else ""


def hint_for(path: Path, given: Hint) -> Hint:
    """What is known of a file: what the configuration gives, for the rest the table of recordings."""
    place = f"{path.parent.name}/{path.name}"
    known = next((hint for pattern, hint in KNOWN if fnmatch(place, pattern)), Hint())
    default = Hint()
    changes = {
        field: getattr(given, field)
        for field in Hint.__struct_fields__
        if getattr(given, field) != getattr(default, field)
    }
    return msgspec.structs.replace(known, **changes)


def records(
    path: Path, prefix: str, given: Hint, series: SeriesList, count: Callable[[str], None]
) -> Iterator[Record]:
    """The records of a file in order; equal files give equal records.

    Args:
        path: A recording.
        prefix: First part of the series names.
        given: What the configuration says about it.
        series: Numbering of the source.
        count: Counts a mistake by its reason.

    Raises:
        ConfigurationError: An archive cannot be read.
        OSError: The file cannot be read.
    """
    hint = hint_for(path, given)
    kind = kind_of(path)
    if kind == "archive":
        from headland.sources.recordings.arrays import archive_records  # numpy, only where it is needed

        yield from archive_records(str(path), prefix, hint, series, count)
        return
    read = {"table": table_records, "json": json_records}.get(kind, log_records)
    with _text(path) as file:
        yield from read(file, prefix, hint, series, count)


def _text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8", errors="replace", newline="")
    return path.open(encoding="utf-8", errors="replace", newline="")


__all__ = ["Hint", "Record", "hint_for", "is_recording", "kind_of", "records"]
