"""Run benches: `./dev bench all|ROW|GROUP ... [--json] [--repeats N] [--seconds S] [--data DIR]`.

Exit codes: 0 all rows hold, 1 one does not or could not be measured, 2 usage.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from pathlib import Path

import msgspec

from benches import servers
from benches.machine import machine
from benches.peers import comparing
from benches.registry import BARS, GROUPS, Context, Row, group, groups_of, row, say


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure what the README promises.")
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help=f"all, a row, or a group: {', '.join(GROUPS)}"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repetitions; medians count")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one throughput run")
    parser.add_argument("--data", type=Path, help="recorded data (default: ../shared/data if it is there)")
    if arguments[:1] == ["peers"]:
        return comparing.main(arguments[1:])
    options = parser.parse_args(arguments)
    try:
        chosen = groups_of(options.names)
    except LookupError as unknown:
        parser.error(f"nothing is called {unknown}; rows: {', '.join(BARS)}")
    servers.as_installed()
    data = options.data or Path("../shared/data")
    rows: list[Row] = []
    for name in chosen:
        say(f"{name} ...")
        with tempfile.TemporaryDirectory(prefix="headland-bench-") as work:
            context = Context(Path(work), options.repeats, options.seconds, data if data.is_dir() else None)
            rows += _measured(name, context)
    wanted = {one for one in options.names if one in BARS}
    order = list(BARS)
    rows.sort(key=lambda one: order.index(one.name))
    if wanted and not any(one in GROUPS or one == "all" for one in options.names):
        rows = [one for one in rows if one.name in wanted]
    if options.json:
        sys.stdout.write(json.dumps({"rows": msgspec.to_builtins(rows), "machine": machine()}) + "\n")
    else:
        for one in rows:
            value = "-" if one.value is None else f"{one.value:,.4g}"
            verdict = "ok  " if one.holds else "MISS"
            sys.stdout.write(f"{verdict} {one.name:32} {value:>12} {one.unit:6} {one.bar:10} {one.how}\n")
    return 0 if all(one.holds for one in rows) else 1


def _measured(name: str, context: Context) -> list[Row]:
    """A group that fails gives rows without a value; the others are still measured."""
    try:
        found: list[Row] = group(name).measure(context)
    except Exception as problem:  # noqa: BLE001 - whatever stops one group must not hide the others
        traceback.print_exc(file=sys.stderr)
        why = (str(problem).strip() or type(problem).__name__).splitlines()[-1]
        return [row(one, None, "", f"could not be measured: {why}") for one in group(name).ROWS]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
