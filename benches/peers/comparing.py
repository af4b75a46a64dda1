"""The comparison as a whole: every system in turn, repeated; medians; one object or tables; the page."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benches.machine import machine
from benches.peers import page
from benches.peers.bars import OURS, rows_of
from benches.peers.results import Report, Result
from benches.peers.trials import QUICK, Sizes
from benches.peers.turn import SYSTEMS, TRIALS, run
from benches.registry import say


def main(arguments: Sequence[str]) -> int:
    """Measure and print.

    Returns:
        0 unless ours lost, doubled or disordered a reading, or could not be measured.
    """
    options = _options(arguments)
    if options.read:
        report = msgspec.json.decode(options.read.read_bytes(), type=Report)
    else:
        report = _measured(options)
    if options.page:
        page.write(report, options.page)
    if options.json:
        sys.stdout.write(json.dumps(msgspec.to_builtins(report)) + "\n")
    else:
        sys.stdout.write(page.tables(report))
    return _verdict(report)


def _measured(options: argparse.Namespace) -> Report:
    sizes = QUICK if options.quick else Sizes()
    results: dict[str, Result] = {}
    begun = time.monotonic()
    repeats = options.repeats or (1 if options.quick else 3)
    for repeat in range(repeats):
        for key in options.only or SYSTEMS:
            for trial in options.trial or TRIALS:
                say(f"round {repeat + 1} of {repeats}: {key}, {trial}")
                _one(results, key, trial, repeat, sizes)
    report = Report(
        rows=[],
        systems=[summed_up(one) for one in results.values()],
        machine=machine(),
        repeats=repeats,
        quick=options.quick,
        took_s=round(time.monotonic() - begun),
    )
    report.rows = rows_of(report.systems)
    return report


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench peers", description="Headland beside its peers.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="small sizes, one repeat")
    parser.add_argument("--repeats", type=int, help="how often each system has its turn (default 3)")
    parser.add_argument("--only", action="append", choices=SYSTEMS, help="only this one (may be repeated)")
    parser.add_argument("--trial", action="append", choices=TRIALS, help="only this one (may be repeated)")
    parser.add_argument("--page", type=Path, help="write the page here, and its pictures beside it")
    parser.add_argument("--read", type=Path, help="measure nothing: take this JSON of an earlier run")
    return parser.parse_args(arguments)


def _one(results: dict[str, Result], key: str, trial: str, repeat: int, sizes: Sizes) -> None:
    """A trial that fails costs its own figures only."""
    turn = run(key, trial, repeat, sizes)
    result = results.setdefault(key, Result(key, turn.name, turn.how, turn.durable))
    if turn.trouble:
        say(f"  NOT MEASURED: {turn.trouble}")
        result.trouble.append(f"{trial}: {turn.trouble}")
        return
    figures = ", ".join(f"{name} {_short(value)}" for name, value in turn.figures.items())
    say("  " + "; ".join([figures, *turn.remarks]))
    result.remarks += [f"{trial}: {one}" for one in turn.remarks]
    for name, value in turn.figures.items():
        result.repeats.setdefault(f"{trial}.{name}", []).append(value)


NEVER = ("losing.lost", "losing.doubled", "losing.disordered", "losing.overtaken")
"""Figures of which the sum over all repeats counts, beside the sum of what was acknowledged."""


def summed_up(result: Result) -> Result:
    """Medians of what was measured; of what must never happen the sum."""
    for name, values in result.repeats.items():
        known = [value for value in values if value is not None]
        if name in NEVER or name == "losing.acked":
            result.figures[name] = sum(known)
        else:
            # A drain that was given up in one repeat has no median: the others would flatter it.
            result.figures[name] = statistics.median(known) if len(known) == len(values) else None
    return result


def _verdict(report: Report) -> int:
    ours = [one for one in report.systems if one.key == OURS]
    return 1 if any(one.trouble or any(one.figures.get(name) for name in NEVER[:3]) for one in ours) else 0


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}"
