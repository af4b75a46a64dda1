"""Mutation: `./dev mutation [--room R ...] [--sample N] [--seed S] [--resume] [--json] [--page FILE]`.

Without `--sample` every mutant is judged, which takes hours for all rooms. Exit codes: 0 every room reaches
its share, 1 a room does not, 2 usage, or the tool is not to be had here.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from itertools import chain
from pathlib import Path

import msgspec

from mutation import engine, judging
from mutation.engine import SURVIVED, UNTESTED
from mutation.judging import Result
from mutation.page import page
from mutation.rooms import BUILD, ROOMS, ROOT, module_name, modules
from mutation.sampling import stratified, wilson

SHARE = 0.9
"""Of a room's judged mutants, so many are to be noticed."""


def main() -> int:
    """Run what the arguments say."""
    given = _arguments()
    results = []
    try:
        python = engine.environment()
        for room in given.room or ROOMS:
            result = _judged(engine.Workspace(python, room), room, given)
            results.append(result)
            _saved(room).write_bytes(msgspec.json.encode(result))
            noticed, run = result.counts
            low, high = wilson(noticed, run)
            _say(f"{room}: {noticed} of {run} noticed, {noticed / run:.1%} ({low:.0%} to {high:.0%})")
    except engine.Unavailable as problem:
        _say(str(problem))
        return 2
    if given.page:
        every = [
            msgspec.json.decode(_saved(room).read_bytes(), type=Result)
            for room in ROOMS
            if _saved(room).exists()
        ]
        Path(given.page).write_text(page(every, engine.TIMEOUT_FACTOR))
    if given.json:
        shares = {one.room: one.counts[0] / one.counts[1] for one in results}
        sys.stdout.buffer.write(msgspec.json.encode({"shares": shares, "rooms": results}) + b"\n")
    return 0 if all(one.counts[0] >= SHARE * one.counts[1] for one in results) else 1


def _judged(workspace: engine.Workspace, room: str, given: argparse.Namespace) -> Result:
    began = time.monotonic()
    workspace.prepare(given.resume)
    names = workspace.names(modules(room))
    of = {module_name(path): names[path] for path in names}
    chosen = set(stratified(of, given.sample, given.seed) if given.sample else chain(*of.values()))
    known: set[str] = set()
    if given.resume:
        for path in names:
            workspace.judge_again(path)
            known.update(workspace.verdicts(path))
    _say(f"{room}: {len(chosen - known)} of {sum(map(len, of.values()))} mutants; see {workspace.log}")
    if chosen - known:
        workspace.run(sorted(chosen - known) if given.sample else [], given.children)
    figures, missed = [], {}
    for path in names:
        judged = {name: verdict for name, verdict in workspace.verdicts(path).items() if name in chosen}
        figures.append(judging.figures(room, module_name(path), len(names[path]), judged))
        missed.update({name: path for name, verdict in judged.items() if verdict in (SURVIVED, UNTESTED)})
    survivors = judging.survivors(workspace.differences(missed), judging.reasons()) if missed else []
    return Result(room, given.sample, given.seed, round(time.monotonic() - began, 1), figures, survivors)


def _saved(room: str) -> Path:
    """What the last run over a room found: the page is of all of them."""
    return BUILD / f"{room}.json"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev mutation", description="mutants, and whether the tests notice"
    )
    parser.add_argument("--room", action="append", choices=list(ROOMS), help="only this one; again for more")
    parser.add_argument("--sample", type=int, default=0, help="about so many mutants of each room; 0 for all")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 2, help="processes at once")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="what was killed stays so, the rest is judged by the tests of now",
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--page", help="write docs/mutation.md, or another file, of the last run over each room"
    )
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stderr.write(f"mutation: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    assert Path.cwd() == ROOT
    sys.exit(main())
