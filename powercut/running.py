"""A run, its crash states, and what came of them; in as many processes as are wanted."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import msgspec

from powercut.exploring import Explored, Fault, explore
from powercut.plants import planted
from powercut.story import tell

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there has a name of its own, and goes with the process
SHORT_S = 8.0
LONG_S = 12.0


class Options(msgspec.Struct, frozen=True):
    """What is wanted.

    Attributes:
        states: Judged in all; None judges every one.
        seed: Of the run, and of what is drawn.
        duration_s: Simulated seconds of the run.
        plant: A defect that is planted while the nodes run, "" for none.
        processes: Among which the states are divided.
        faults_max: After so many a process ends.
    """

    states: int | None = 500
    seed: int = 1
    duration_s: float = SHORT_S
    plant: str = ""
    processes: int = 1
    faults_max: int = 20


class Outcome(msgspec.Struct, frozen=True):
    """What `./dev powercut --json` prints.

    Attributes:
        states: Crash states that were recovered and judged.
        real: Of them, through the real driver in a directory too.
        existing: Crash states that there are, alike ones counted once.
        calls: Calls of the driver in the traces.
        commits: Commits in them.
        how: Judged states by what was left of the pending changes.
        about: Judged states by the last call before the power went.
        run: What the nodes went through.
        blocks_read: Blocks read back and compared.
        faults: Laws that were broken, at most 20 a process; each names the state.
        seed: Of the run.
    """

    states: int
    real: int
    existing: int
    calls: int
    commits: int
    how: dict[str, int]
    about: dict[str, int]
    run: dict[str, int]
    blocks_read: int
    faults: list[Fault]
    seed: int

    @property
    def good(self) -> bool:
        """Whether every law held."""
        return not self.faults


class _Part(msgspec.Struct):
    explored: Explored
    run: dict[str, int]


def run(options: Options, progress: Callable[[str], None] = lambda _: None) -> Outcome:
    """Let nodes run, cut the power in every place, and judge what is left."""
    shares = [(options, index) for index in range(options.processes)]
    if options.processes == 1:
        return _sum(options, [_part(options, 0, progress)])
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        return _sum(options, pool.starmap(_part, shares, chunksize=1))


def _part(options: Options, index: int, progress: Callable[[str], None] = lambda _: None) -> _Part:
    """One process's share: the run is told again in each, it is the same."""

    def seen(explored: Explored) -> None:
        if explored.states % 1000 == 0:
            progress(f"{explored.states} of {explored.existing} states, {len(explored.faults)} faults")

    memory = str(IN_MEMORY) if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="powercut-", dir=memory) as name:
        folder = Path(name)
        with planted(options.plant) if options.plant else nullcontext():
            told = tell(folder / "run", options.seed, options.duration_s)
        explored = explore(
            told,
            folder / "states",
            seed=options.seed,
            limit=options.states,
            faults_max=options.faults_max,
            share=(index, options.processes),
            seen=seen,
        )
    return _Part(explored, told.counts)


def _sum(options: Options, parts: list[_Part]) -> Outcome:
    how: Counter[str] = Counter()
    about: Counter[str] = Counter()
    for part in parts:
        how.update(part.explored.how)
        about.update(part.explored.about)
    counts = parts[0].run
    return Outcome(
        states=sum(part.explored.states for part in parts),
        real=sum(part.explored.real for part in parts),
        existing=parts[0].explored.existing,
        calls=sum(times for what, times in counts.items() if what.startswith("calls_")),
        commits=counts["commits"],
        how=dict(sorted(how.items())),
        about=dict(sorted(about.items())),
        run=counts,
        blocks_read=sum(part.explored.blocks_read for part in parts),
        faults=[fault for part in parts for fault in part.explored.faults],
        seed=options.seed,
    )
