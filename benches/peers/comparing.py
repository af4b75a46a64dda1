"""The comparison as a whole: every system in turn, repeated; medians; one object or tables; the page."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benches.machine import machine
from benches.peers import page, trials
from benches.peers.headland import Headland
from benches.peers.mosquitto import MosquittoBridge
from benches.peers.nats_leaf import NatsLeaf
from benches.peers.system import System
from benches.registry import say

SYSTEMS: dict[str, Callable[[Path], System]] = {
    "headland": Headland,
    "mosquitto-autosave": lambda home: MosquittoBridge(home, "autosave default", ""),
    "mosquitto-1s": lambda home: MosquittoBridge(home, "autosave 1 s", "autosave_interval 1"),
    "mosquitto-each": lambda home: MosquittoBridge(
        home, "autosave each change", "autosave_on_changes true, autosave_interval 1"
    ),
    "nats-default": lambda home: NatsLeaf(home, "default"),
    "nats-always": lambda home: NatsLeaf(home, "always"),
}
BULK = 200_000
"""Readings of the trial of costs."""
BULK_S = 20.0


class Result(msgspec.Struct):
    """What one system did, over all repeats; medians, but the worst of what must never happen.

    Attributes:
        key: Short name.
        name: In the tables.
        how: Its configuration.
        durable: Whether an acknowledgement is said to be on disk.
        figures: By trial and figure; None where it was not measured.
        repeats: Every single figure.
        trouble: What could not be measured, and why.
    """

    key: str
    name: str
    how: str
    durable: bool
    figures: dict[str, float | None]
    repeats: dict[str, list[float | None]]
    trouble: list[str]


NEVER = ("losing.lost", "losing.doubled", "losing.disordered", "losing.overtaken")
"""Figures of which the sum over all repeats counts, beside the sum of what was acknowledged."""


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 0 unless ours lost, doubled, or could not be measured."""
    parser = argparse.ArgumentParser(prog="./dev bench peers", description="Headland beside its peers.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=3, help="how often each system has its turn")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one throughput run")
    parser.add_argument("--only", action="append", choices=SYSTEMS, help="only this one (may be repeated)")
    parser.add_argument("--page", type=Path, help="write the page here, from what was measured")
    options = parser.parse_args(arguments)
    results: dict[str, Result] = {}
    for repeat in range(options.repeats):
        for key in options.only or SYSTEMS:
            say(f"round {repeat + 1} of {options.repeats}: {key}")
            _turn(key, results, options.seconds, repeat)
    for result in results.values():
        _summed_up(result)
    report = {"systems": [msgspec.to_builtins(one) for one in results.values()], "machine": machine()}
    if options.page:
        options.page.write_text(page.written(report), encoding="utf-8")
    if options.json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        sys.stdout.write(page.tables(report))
    ours = results.get("headland")
    return 0 if ours is None or not (ours.trouble or ours.figures.get("losing.lost")) else 1


def _turn(key: str, results: dict[str, Result], seconds: float, repeat: int) -> None:
    """One system, one repeat; a trial that fails costs its own figures only."""

    plan: list[tuple[str, Callable[[System], Any]]] = [
        ("losing", lambda system: trials.losing(system, repeat)),
        ("taking", lambda system: trials.taking(system, seconds)),
        ("carrying", lambda system: trials.carrying(system, BULK, BULK_S)),
    ]
    for trial, run in plan:
        with tempfile.TemporaryDirectory(prefix="headland-peers-", ignore_cleanup_errors=True) as work:
            system = SYSTEMS[key](Path(work) / trial)
            result = results.setdefault(key, Result(key, system.name, system.how, system.durable, {}, {}, []))
            try:
                system.start()
                found = msgspec.to_builtins(run(system))
            except Exception as problem:  # noqa: BLE001 - one system must not end the comparison
                traceback.print_exc(file=sys.stderr)
                result.trouble.append(f"{trial}: {(str(problem) or type(problem).__name__)[-300:]}")
                continue
            finally:
                system.stop()
            say(f"  {trial}: " + ", ".join(f"{name} {_short(value)}" for name, value in found.items()))
            for name, value in found.items():
                result.repeats.setdefault(f"{trial}.{name}", []).append(value)


def _summed_up(result: Result) -> None:
    for name, values in result.repeats.items():
        known = [value for value in values if value is not None]
        if name in NEVER or name == "losing.acked":
            result.figures[name] = sum(known)
        else:
            result.figures[name] = statistics.median(known) if known else None


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}"
