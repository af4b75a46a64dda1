"""Recorded data as series: time in ns and value, in the order of the file."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

Series = dict[str, list[tuple[int, float]]]
START_NS = 1_700_000_000_000_000_000


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a gzipped CSV file."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _moment(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 1_000_000_000


def skab(data: Path) -> Series:
    """Valve test bench, one row a second, eight sensors; each of its runs is a series of its own."""
    found: Series = defaultdict(list)
    for row in rows(data / "skab" / "valve1.csv.gz"):
        at = _moment(row["datetime"])
        for name, text in row.items():
            if name not in ("file", "datetime", "anomaly", "changepoint"):
                found[f"{row['file']}/{name}"].append((at, float(text)))
    return found


def carobd(data: Path) -> Series:
    """Car diagnostics, one row a second, 66 trips, 27 signals; each signal over all trips."""
    found: Series = defaultdict(list)
    for number, row in enumerate(rows(data / "carobd" / "obd.csv.gz")):
        at = START_NS + number * 1_000_000_000
        for name, text in row.items():
            if name not in ("mode", "trip", "t") and text:
                found[name].append((at, float(text)))
    return found


def wsn(data: Path) -> Series:
    """Two motes, humidity and temperature every five seconds."""
    found: Series = defaultdict(list)
    for row in rows(data / "wsn_multihop" / "motes.csv.gz"):
        at = START_NS + int(float(row["reading"])) * 5_000_000_000
        for name in ("humidity", "temperature"):
            found[f"{row['mote_id']}/{name}"].append((at, float(row[name])))
    return found


def nab(data: Path) -> Series:
    """Eighteen series of the Numenta benchmark, five minutes apart."""
    found: Series = defaultdict(list)
    for row in rows(data / "nab" / "series.csv.gz"):
        found[row["series"]].append((_moment(row["timestamp"]), float(row["value"])))
    return found


SETS = {"skab": skab, "carobd": carobd, "wsn": wsn, "nab": nab}
