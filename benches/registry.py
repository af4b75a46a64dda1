"""One row, one bar, one group of rows a file.

A group is a module of this package with `ROWS` (names it answers) and `measure(context) -> list[Row]`. Bars
stand here and nowhere else: they are followed from release to release.
"""

from __future__ import annotations

import importlib
import operator
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import msgspec

BARS: dict[str, tuple[str, float]] = {
    "ingest_window20_vs_mosquitto": (">=", 3.0),
    "ingest_window1_vs_mosquitto": (">=", 0.5),
    "filter_readings_per_s": (">=", 500_000.0),
    "write_amplification_1000": ("<=", 1.1),
    "write_amplification_100": ("<=", 1.5),
    "link_bytes_live": ("<=", 0.6),
    "link_bytes_vs_json_zstd_worst": ("<=", 0.75),
    "decisions_over_budget_share": ("<", 0.005),
    "live_p99_drain_vs_idle": ("<", 2.0),
    "restart_2gb_s": ("<", 2.0),
    "restart_2gb_growth_mb": ("<", 20.0),
    "idle_cpu_share": ("<", 0.005),
    "idle_pss_mb": ("<", 45.0),
}
"""Every row of the contract, in the order in which it is printed."""

GROUPS = (
    "ingest",
    "filtering",
    "writes",
    "link_live",
    "link_blocks",
    "decisions",
    "drain",
    "restart",
    "idle",
)
"""Modules of this package that measure them."""

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
    ">": operator.gt,
}


class Row(msgspec.Struct):
    """One figure.

    Attributes:
        name: Contract name.
        value: The figure, or None when it could not be measured.
        unit: Of the value; "ratio" and "share" have none.
        bar: What it is held against, for instance ">= 3".
        holds: Whether it does.
        how: What was measured, how often, and what limits it.
    """

    name: str
    value: float | None
    unit: str
    bar: str
    holds: bool
    how: str


def row(name: str, value: float | None, unit: str, how: str) -> Row:
    """Hold a figure against its bar; one that could not be measured does not hold."""
    sign, bar = BARS[name]
    holds = value is not None and _COMPARE[sign](value, bar)
    return Row(name, None if value is None else round(value, 6), unit, f"{sign} {bar:g}", holds, how)


class Context(msgspec.Struct):
    """What a group is given.

    Attributes:
        work: A directory of its own, deleted afterwards.
        repeats: How often interleaved measurements are repeated; medians count.
        seconds: How long one measurement of throughput takes.
        data: Recorded data, or None when it is not there.
    """

    work: Path
    repeats: int
    seconds: float
    data: Path | None


def say(text: str) -> None:
    """Progress, on stderr: stdout belongs to the result."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def median(values: Iterable[float]) -> float:
    """The median; of an even number the mean of the middle two."""
    return statistics.median(values)


def group(name: str) -> ModuleType:
    """The module of a group."""
    return importlib.import_module(f"benches.{name}")


def groups_of(names: list[str]) -> list[str]:
    """Groups that answer these rows, in order; `all` and group names stand for their rows.

    Raises:
        LookupError: No row and no group has that name.
    """
    wanted = set()
    for name in names:
        if name == "all":
            wanted |= set(GROUPS)
        elif name in GROUPS:
            wanted.add(name)
        elif name in BARS:
            wanted |= {one for one in GROUPS if name in group(one).ROWS}
        else:
            raise LookupError(name)
    return [one for one in GROUPS if one in wanted]
