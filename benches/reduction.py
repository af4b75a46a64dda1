"""What the filters leave out of recorded data: every file, every column, untuned defaults beside a tuned
setting.

`python -m benches.reduction [DATA] [--write docs/reduction.md]`; DATA is ../shared/data unless given. Every
reading goes through the line itself (`Line.offer`), one column at a time, in the order of the file.
Reductions are ``1 - rows north / readings`` and ``1 - bytes north / bytes``; a kept reading counts the bytes
of ``{"t":<ms>,"v":<value>}`` (a log line its own), a derived row its msgpack body. Means are plain means of
columns.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from headland.journal import Draft
from headland.line.filtering import DeadBand, FilterKind, Severity, Summary, Vibration
from headland.line.line import Line
from headland.line.rules import LineRules, SeriesRule
from headland.vocabulary import Batch, Instant, RowClass, RowKind, SeriesKey, SeriesTable, Value

Column = list[tuple[int, Value]]
START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
PUBLISHED = {"sensors": 95, "vibration": 90, "logs": 98, "metrics": 80}
BANDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


class Outcome(msgspec.Struct):
    """One column under one setting."""

    rows: float
    bytes: float
    error: float


class Figure(msgspec.Struct):
    """One line of the table."""

    kind: str
    file: str
    column: str
    readings: int
    untuned: Outcome
    tuned: Outcome
    setting: str
    spread: float


def main(arguments: list[str]) -> int:
    """Measure and print or write."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.reduction", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--write", type=Path, help="write the page here instead of printing it")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        parser.error(f"no recorded data at {options.data}")
    figures = list(measure(options.data))
    page = written(figures)
    if options.write:
        options.write.write_text(page, encoding="utf-8")
    else:
        sys.stdout.write(page)
    return 0


def measure(data: Path) -> Iterator[Figure]:
    """Every file and column that is there."""
    for source in (sensors, vibrations, logs, metrics):
        for kind, file, columns, judge in source(data):
            for name, column in columns.items():
                yield judge(kind, file, name, column)
                print(".", end="", file=sys.stderr, flush=True)


def run(column: Column, filter_: FilterKind, *, hold: bool = False) -> Outcome:
    """One column through the line; with `hold`, the largest error of a reader who holds the last value."""
    table = SeriesTable()
    sid = table.intern(SeriesKey("column"))
    line = Line(LineRules(default=SeriesRule(name="rule", filter=filter_)), table)
    rows = size = offered = 0
    kept: list[tuple[int, Value]] = []
    for i in range(0, len(column), 500):
        part = column[i : i + 500]
        sizes = [len(v) if isinstance(v, str) else 22 + len(repr(v)) for _, v in part]
        offered += sum(sizes)
        batch = Batch(
            [sid] * len(part), [t for t, _ in part], [v for _, v in part], sizes, None, None, [len(part)]
        )
        draft = Draft(i + 1)
        line.offer("bench", batch, Instant(0, part[-1][0], trusted=False), draft)
        rows, size = _counted(draft, rows, size, kept)
    last = Draft(len(column) + 1)
    line.reconfigure(LineRules(default=SeriesRule(name="end", filter=Summary())), Instant(0, START), last)
    rows, size = _counted(last, rows, size, kept)
    error = _hold_error(column, kept) if hold else 0.0
    return Outcome(1 - rows / len(column), 1 - size / offered, error)


def _counted(draft: Draft, rows: int, size: int, kept: list[tuple[int, Value]]) -> tuple[int, int]:
    for cls in RowClass:
        if cls > RowClass.LOW:
            continue
        columns = draft.rows(cls)
        kinds = columns.kind or [0] * len(columns)
        sizes = columns.size or [0] * len(columns)
        for kind, ts, value, own in zip(kinds, columns.ts, columns.value, sizes, strict=True):
            if kind == RowKind.CONFIG:
                continue
            rows += 1
            size += own or len(value)  # type: ignore[arg-type]
            if kind == RowKind.READING:
                kept.append((ts, value))
    return rows, size


def _hold_error(column: Column, kept: list[tuple[int, Value]]) -> float:
    known = dict(kept)
    held: Any = None
    worst = 0.0
    for ts, value in column:
        held = known.get(ts, held)
        if value == value and held == held:
            worst = max(worst, abs(value - held))
    return worst


# ── sensors: dead band ─────────────────────────────────────────────────────────────────────────────────
def banded(kind: str, file: str, name: str, column: Column) -> Figure:
    """5 % untuned; tuned: the smallest absolute band, as a share of the range, that reaches the published."""
    values = [float(v) for _, v in column if v == v]
    spread = max(values) - min(values) if values else 0.0
    untuned = tuned = run(column, DeadBand(), hold=True)
    share = 0.0
    for share in BANDS:
        tuned = run(column, DeadBand(absolute=share * spread), hold=True)
        if tuned.rows >= PUBLISHED["sensors"] / 100:
            break
    setting = f"absolute {share * spread:.4g} ({share:.1%} of the range)"
    return Figure(kind, file, name, len(column), untuned, tuned, setting, spread)


def sensors(data: Path) -> Iterator[tuple[str, str, dict[str, Column], Callable[..., Figure]]]:
    """Files of slow physical signals."""
    for file, moment, leave, series in (
        ("occupancy/datatraining.csv.gz", "date", (), ()),
        ("occupancy/datatest.csv.gz", "date", (), ()),
        ("wsn_multihop/motes.csv.gz", "", ("reading", "indoor", "label"), ("mote_id",)),
        ("carobd/obd.csv.gz", "", ("trip", "t", "mode"), ()),
        ("skab/anomaly-free.csv.gz", "datetime", (), ("file",)),
        ("skab/valve1.csv.gz", "datetime", ("anomaly", "changepoint"), ("file",)),
        ("nab/series.csv.gz", "timestamp", (), ("series",)),
        ("cicv5g/delay.csv.gz", "", ("pub_ms", "sub_ms", "cell_id", "run"), ()),
        ("starlink_autobahn/throughput.csv.gz", "", ("start_dl", "end_dl", "start_ul", "end_ul"), ()),
    ):
        if (data / file).is_file():
            yield "sensors", file, _table(data / file, moment, (moment, *leave), series), banded
    for file, groups in (("comma2k19/segment.npz", _comma), ("har_phone/har.npz", _har)):
        if (data / file).is_file():
            yield "sensors", file, groups(data / file), banded


def _table(path: Path, moment: str, leave: tuple[str, ...], series: tuple[str, ...]) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            at = START + number * SECOND
            if moment:
                at = int(dt.datetime.fromisoformat(row[moment]).replace(tzinfo=dt.UTC).timestamp()) * SECOND
            prefix = "/".join(row[name] for name in series)
            for name, text in row.items():
                if name not in leave and name not in series and text:
                    key = "/".join(part for part in (prefix, name if name != "value" else "") if part)
                    columns.setdefault(key, []).append((at, float(text)))
    return columns


def _comma(path: Path) -> dict[str, Column]:
    import numpy as np

    columns: dict[str, Column] = {}
    with np.load(path) as recorded:
        for name in recorded.files:
            if name.endswith("_t") or name.startswith("raw_can") or f"{name}_t" not in recorded.files:
                continue
            times = recorded[f"{name}_t"]
            values = recorded[name].reshape(len(times), -1)
            for axis in range(values.shape[1]):
                pairs = zip(times.tolist(), values[:, axis].tolist(), strict=True)
                columns[f"{name}[{axis}]"] = [(START + int(t * 1e9), v) for t, v in pairs]
    return columns


def _har(path: Path) -> dict[str, Column]:
    import numpy as np

    with np.load(path) as recorded:
        x, channels = recorded["x"], recorded["channels"].tolist()
    return {
        str(name): [(START + i * SECOND // 100, float(v)) for i, v in enumerate(x[:, axis].tolist())]
        for axis, name in enumerate(channels)
    }


# ── vibration: FFT and summary ─────────────────────────────────────────────────────────────────────────
def vibrations(data: Path) -> Iterator[tuple[str, str, dict[str, Column], Callable[..., Figure]]]:
    """Files of fast samples."""
    import numpy as np

    for path in sorted((data / "mfpt_bearing_NC").glob("*.npz")):
        with np.load(path) as recorded:
            rate, samples = float(recorded["sr"]), recorded["g"].tolist()
        column: Column = [(START + int(i * 1e9 / rate), float(v)) for i, v in enumerate(samples)]
        yield "vibration", f"mfpt_bearing_NC/{path.name}", {"g": column}, featured(rate)
    path = data / "fan_vibration" / "fan.npz"
    if path.is_file():
        with np.load(path) as recorded:
            counts, label, classes = recorded["counts"], recorded["label"], recorded["classes"].tolist()
        columns: dict[str, Column] = {}
        for number, name in enumerate(classes):
            for axis in range(3):
                flat = counts[label == number][:, :, axis].reshape(-1).tolist()
                columns[f"{name}/{'xyz'[axis]}"] = [
                    (START + i * 1_000_000, float(v)) for i, v in enumerate(flat)
                ]
        yield "vibration", "fan_vibration/fan.npz", columns, featured(1000.0)


def featured(rate: float) -> Callable[..., Figure]:
    """Untuned: defaults; tuned: shorter windows and a summary a minute, with an event above kurtosis 4."""

    def judge(kind: str, file: str, name: str, column: Column) -> Figure:
        untuned = run(column, Vibration(rate_hz=rate))
        tuned = run(column, Vibration(rate_hz=rate, window=2048, summary_s=60, limits={"kurtosis": 4.0}))
        setting = "window 2048, summary 60 s, event above kurtosis 4"
        return Figure(kind, file, name, len(column), untuned, tuned, setting, 0.0)

    return judge


# ── logs: severity ─────────────────────────────────────────────────────────────────────────────────────
def logs(data: Path) -> Iterator[tuple[str, str, dict[str, Column], Callable[..., Figure]]]:
    """Files of log lines."""
    paths = sorted((data / "loghub").glob("*_2k.log.gz"))
    paths += [data / "auth_log" / "auth.log.gz", data / "web_access" / "apache_access_may17-18.log.gz"]
    paths += sorted((data / "kafka_logs" / "kafka0").glob("*.gz"))
    for path in paths:
        if path.is_file():
            with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
                lines: Column = [(START + i * 1000, text.rstrip("\r\n")) for i, text in enumerate(file)]
            yield "logs", str(path.relative_to(data)), {"line": lines}, severe


def severe(kind: str, file: str, name: str, column: Column) -> Figure:
    """Untuned: warnings and worse; tuned: errors and worse."""
    untuned, tuned = run(column, Severity()), run(column, Severity(at_least="error"))
    return Figure(kind, file, name, len(column), untuned, tuned, "at least error", 0.0)


# ── metrics: summary ───────────────────────────────────────────────────────────────────────────────────
def metrics(data: Path) -> Iterator[tuple[str, str, dict[str, Column], Callable[..., Figure]]]:
    """Files of machine metrics."""
    path = data / "nginx_metrics" / "nginxplus_status_first250.jsonl.gz"
    if path.is_file():
        columns: dict[str, Column] = {}
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for text in file:
                status = json.loads(text)
                at = int(status["timestamp"]) * 1_000_000
                for name, value in _numbers(status, ""):
                    columns.setdefault(name, []).append((at, value))
        yield "metrics", "nginx_metrics/nginxplus_status_first250.jsonl.gz", columns, summed
    path = data / "nab" / "series.csv.gz"
    if path.is_file():
        yield "metrics", "nab/series.csv.gz", _table(path, "timestamp", ("timestamp",), ("series",)), summed


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _numbers(inner, f"{path}[{number}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


def summed(kind: str, file: str, name: str, column: Column) -> Figure:
    """Untuned: windows of a minute; tuned: of an hour."""
    untuned, tuned = run(column, Summary()), run(column, Summary(window_s=3600))
    return Figure(kind, file, name, len(column), untuned, tuned, "windows of 1 h", 0.0)


# ── the page ───────────────────────────────────────────────────────────────────────────────────────────
INTRODUCTION = """# What the filters leave out of recorded data

Generated by `python -m benches.reduction --write docs/reduction.md`; run it on your own data to know yours.
Every recorded file and column is here, in the order of the file, through the line itself. *Untuned* is the
default of the filter, *tuned* is one recipe for all columns of a kind. Reductions are of rows, and of bytes
beside them (a negative one means that more goes north than came; bytes are before the compression of blocks,
in which the repeated names inside derived rows all but vanish). The published figures (95 % of sensor
readings, 90 % of vibration, 98 % of log lines, 80 % of metrics) are expectations about typical signals, not
promises about each: what is below them is printed as it is. Means are of columns, without weights.

* Sensors: dead band of 5 % of the last sent value, no floor. Tuned: the smallest absolute band of 0.1, 0.2,
  0.5, 1, 2, 5, 10, 20 or 50 % of the column's range that reaches 95 %, whatever error that costs. The largest
  error is that of a reader who holds the last value, in the unit of the column, and as a share of its range.
* Vibration: FFT and features, one row per 5 minutes. Tuned: windows of 2048 samples, a row per minute, events
  above a kurtosis of 4. The recordings are seconds to minutes long, so one row each is the least there can
  be; the sampling rate of the fan is not recorded and taken as 1 kHz.
* Logs: warnings and worse. Tuned: errors and worse. Formats without a severity (sshd, access logs) are judged
  by phrases or by status; a log of attacks is full of warnings.
* Metrics: count, extremes, sum, deviation and quantiles per minute. Tuned: per hour. A metric that comes
  every five minutes has one reading in a one-minute window: nothing is saved there.
"""


def written(figures: list[Figure]) -> str:
    """The page."""
    parts = [INTRODUCTION, "## Means of columns\n", _means(figures)]
    for kind in PUBLISHED:
        chosen = [one for one in figures if one.kind == kind]
        if chosen:
            parts.append(f"## {kind.capitalize()} (published {PUBLISHED[kind]} %)\n")
            parts.append(_lines(kind, chosen))
    return "\n".join(parts)


def _means(figures: list[Figure]) -> str:
    out = [
        "| kind | file | columns | readings | untuned rows | untuned bytes | tuned rows | tuned bytes |",
        "|---" * 8 + "|",
    ]
    for kind in PUBLISHED:
        files = list(dict.fromkeys(one.file for one in figures if one.kind == kind))
        for file in [*files, ""]:
            chosen = [one for one in figures if one.kind == kind and file in (one.file, "")]
            if chosen:
                shares = [
                    sum(getattr(getattr(one, which), what) for one in chosen) / len(chosen)
                    for which in ("untuned", "tuned")
                    for what in ("rows", "bytes")
                ]
                name = file or f"**all, published {PUBLISHED[kind]} %**"
                cells = " | ".join(f"{share:.1%}" for share in shares)
                out.append(
                    f"| {kind} | {name} | {len(chosen)} | {sum(c.readings for c in chosen):,} | {cells} |"
                )
    return "\n".join(out) + "\n"


def _lines(kind: str, figures: list[Figure]) -> str:
    error = kind == "sensors"
    head = "| file | column | readings | untuned rows | bytes |" + (" largest error |" if error else "")
    head += (
        " tuned rows | bytes |" + (" largest error | of the range |" if error else "") + " tuned setting |"
    )
    out = [head, "|---" * (head.count("|") - 1) + "|"]
    for one in figures:
        cells = [one.file, f"`{one.column}`", f"{one.readings:,}"]
        for outcome in (one.untuned, one.tuned):
            cells += [f"{outcome.rows:.1%}", f"{outcome.bytes:.1%}"]
            if error:
                cells.append(f"{outcome.error:.4g}")
        if error:
            cells.append(f"{one.tuned.error / one.spread:.2%}" if one.spread else "0 %")
        cells.append(one.setting)
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
