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
from mutation.page import page
from mutation.rooms import BUILD, ROOMS, ROOT, TESTS, module_name, modules
from mutation.sampling import stratified, wilson

SHARE = 0.9
"""Of a room's judged mutants, so many are to be noticed."""


def main() -> int:
    """Run what the arguments say."""
    given = _arguments()
    rooms = given.room or list(ROOMS)
    began = time.monotonic()
    try:
        figures, missed = _judged(rooms, given)
    except engine.Unavailable as problem:
        _say(str(problem))
        return 2
    shares = {}
    for room in rooms:
        noticed, run = (
            sum(getattr(one, what) for one in figures if one.room == room) for what in ("noticed", "run")
        )
        shares[room] = noticed / run if run else 0.0
        low, high = wilson(noticed, run)
        _say(f"{room}: {noticed} of {run} noticed, {shares[room]:.1%} ({low:.0%} to {high:.0%})")
    if given.page:
        Path(given.page).write_text(page(figures, missed, _command(given), TESTS, engine.TIMEOUT_FACTOR))
    whole = {
        "seconds": round(time.monotonic() - began, 1),
        "sample": given.sample,
        "seed": given.seed,
        "shares": shares,
        "modules": figures,
        "survivors": missed,
    }
    (BUILD / "last.json").write_bytes(msgspec.json.format(msgspec.json.encode(whole)))
    if given.json:
        sys.stdout.buffer.write(msgspec.json.encode(whole) + b"\n")
    return 0 if all(share >= SHARE for share in shares.values()) else 1


def _judged(
    rooms: list[str], given: argparse.Namespace
) -> tuple[list[judging.Figures], list[judging.Survivor]]:
    python = engine.environment()
    engine.prepare(rooms, given.resume)
    paths = {path: room for room in rooms for path in modules(room)}
    names = engine.names(python, list(paths))
    chosen: set[str] = set()
    for room in rooms:
        of = {module_name(path): names[path] for path in paths if paths[path] == room}
        chosen.update(stratified(of, given.sample, given.seed) if given.sample else chain(*of.values()))
    _say(f"{len(chosen)} of {sum(map(len, names.values()))} mutants; mutmut writes to {engine.LOG}")
    if given.resume:
        for path in paths:
            engine.judge_again(path)
        known = {name for path in paths for name in engine.verdicts(path)}
    else:
        known = set()
    if chosen - known:
        engine.run(python, sorted(chosen - known) if given.sample else [], given.children)
    figures, missed = [], {}
    for path, room in paths.items():
        judged = {name: verdict for name, verdict in engine.verdicts(path).items() if name in chosen}
        figures.append(judging.figures(room, module_name(path), len(names[path]), judged))
        missed.update({name: path for name, verdict in judged.items() if verdict in (SURVIVED, UNTESTED)})
    survivors = judging.survivors(engine.differences(python, missed), judging.reasons()) if missed else []
    return figures, survivors


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev mutation", description="mutants, and whether the tests notice"
    )
    parser.add_argument("--room", action="append", choices=list(ROOMS), help="only this one; again for more")
    parser.add_argument("--sample", type=int, default=0, help="about so many mutants of each room; 0 for all")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 2, help="processes at once")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the last run, on its copy of the tree"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", help="write docs/mutation.md, or another file")
    return parser.parse_args()


def _command(given: argparse.Namespace) -> str:
    parts = ["./dev mutation", *(f"--room {room}" for room in given.room or ())]
    parts += [f"--sample {given.sample} --seed {given.seed}"] if given.sample else []
    return " ".join(parts)


def _say(text: str) -> None:
    sys.stderr.write(f"mutation: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    assert Path.cwd() == ROOT
    sys.exit(main())
