"""Every crash state of a trace, or a spread choice of them, judged one by one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from headland.simulation.device import Published
from powercut.calls import Call, PowerCut, Rename
from powercut.choosing import choices
from powercut.judging import Bar, Judge
from powercut.medium import Kept, Medium, State
from powercut.placing import DATA
from powercut.story import Told, Trace

DRAWS = 3
"""States drawn by chance at every length of a trace where anything is pending."""

OF_THE_DRIVER = ("format", "owner")
"""Files that no plan speaks of: only the driver's own start can tell what became of them."""


class Point(msgspec.Struct, frozen=True):
    """One crash: behind how many calls, and what of the pending changes it leaves."""

    calls: int
    how: str
    kept: Kept
    about: str


class Fault(msgspec.Struct, frozen=True):
    """A crash state that broke a law, and how to make it again."""

    node: str
    calls: int
    how: str
    last: str
    law: str
    text: str


class Explored(msgspec.Struct):
    """What came of it.

    Attributes:
        states: Judged in memory.
        real: Of them, judged through the real driver too.
        existing: States that there are, alike ones counted once.
        how: Judged states by what was left.
        about: Judged states by the last call before the crash.
        blocks_read: Blocks read back and compared.
        faults: Laws that were broken.
    """

    states: int = 0
    real: int = 0
    existing: int = 0
    how: Counter[str] = msgspec.field(default_factory=Counter)
    about: Counter[str] = msgspec.field(default_factory=Counter)
    blocks_read: int = 0
    faults: list[Fault] = []


class Progress:
    """What had been promised at a length of the trace, asked for in ascending order."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._acked = 0
        self._issued = 0
        self._n = 0
        self._highest = 0
        self._readings: list[Published] = []

    def at(self, calls: int) -> Bar:
        """Promises made while no more calls than these had been made."""
        trace = self._trace
        while self._acked < len(trace.acked) and trace.acked[self._acked].calls <= calls:
            one = trace.acked[self._acked]
            self._n = max(self._n, one.n)
            if one.reading is not None:
                self._readings.append(one.reading)
            self._acked += 1
        while self._issued < len(trace.issued) and trace.issued[self._issued][0] <= calls:
            self._highest = max(self._highest, trace.issued[self._issued][1])
            self._issued += 1
        return Bar(trace.stamps[calls - 1] if calls else 0, self._n, self._highest, self._readings)

    @property
    def promised(self) -> int:
        """How many promises that is."""
        return self._acked


def points(trace: Trace, seed: int) -> list[Point]:
    """Every crash of a trace; what leaves the same files under the same promises counts once."""
    medium, progress, rng, found = Medium(), Progress(trace), random.Random(seed), []
    seen: set[tuple[object, ...]] = set()
    for calls in range(len(trace.calls) + 1):
        if calls:
            medium.take(trace.calls[calls - 1])
        progress.at(calls)
        key = hash(medium.durable_key())
        about = _about(trace.calls[calls - 1]) if calls else "nothing"
        for how, kept in choices(medium.pending(), rng, DRAWS):
            same = (key, progress.promised, tuple(sorted(kept.items())))
            if same not in seen:
                seen.add(same)
                found.append(Point(calls, how, kept, about))
    return found


def spread(found: Sequence[Point], limit: int, rng: random.Random) -> list[Point]:
    """At most so many of them, every kind of crash in turn, in order of the trace."""
    kinds: dict[tuple[str, str], list[Point]] = {}
    for point in rng.sample(found, len(found)):
        kinds.setdefault((point.about, point.how), []).append(point)
    chosen: list[Point] = []
    while len(chosen) < min(limit, len(found)):
        chosen += [kind.pop() for kind in kinds.values() if kind]
    return sorted(chosen[:limit], key=lambda point: point.calls)


def explore(
    told: Told,
    folder: Path,
    *,
    seed: int,
    limit: int | None = None,
    real_every: int = 10,
    faults_max: int = 20,
    share: tuple[int, int] = (0, 1),
    seen: Callable[[Explored], None] = lambda _: None,
) -> Explored:
    """Judge crash states of every trace of a run.

    Args:
        told: The run.
        folder: Where the real driver may make directories; best in memory.
        seed: Of what is drawn.
        limit: States judged in all; None judges every one.
        real_every: Every so many is judged through the real driver too, and all that its own files are about.
        faults_max: After so many nobody learns more.
        share: (i, k): only the i-th of every k states, for one of k processes.
        seen: Told after every state.
    """
    out = Explored()
    if told.failed:
        out.faults.append(Fault("", 0, "drawn", "power cut", "it starts", f"in the run: {told.failed}"))
    by_node = {name: points(trace, seed) for name, trace in told.traces.items()}
    out.existing = sum(map(len, by_node.values()))
    for index, (name, found) in enumerate(by_node.items()):
        rng = random.Random(seed + index)
        if limit is not None:
            left = limit * (index + 1) // len(by_node) - limit * index // len(by_node)
            found = spread(found, left, rng)
        judge = Judge(told, name)
        for point, state, bar in _states(told.traces[name], found[share[0] :: share[1]]):
            broken = judge.judge(state, bar, rng)
            out.states += 1
            if broken is None and (out.states % real_every == 0 or _of_the_driver(point)):
                out.real += 1
                broken = judge.judge_real(state, bar, folder / f"state-{share[0]}")
            out.how[point.how] += 1
            out.about[point.about] += 1
            if broken is not None:
                out.faults.append(Fault(name, point.calls, point.how, point.about, broken.law, broken.text))
                if len(out.faults) >= faults_max:
                    return out
            seen(out)
        out.blocks_read += judge.blocks_read
    return out


def _states(trace: Trace, chosen: Sequence[Point]) -> Iterator[tuple[Point, State, Bar]]:
    """The files of each point, one after the other."""
    medium, progress, done = Medium(), Progress(trace), 0
    for point in chosen:
        while done < point.calls:
            medium.take(trace.calls[done])
            done += 1
        yield point, medium.after(point.kept), progress.at(done)


def _of_the_driver(point: Point) -> bool:
    return point.about.partition(" ")[2].startswith(OF_THE_DRIVER)


def _about(call: Call) -> str:
    """The kind of a call and of the file that it is of: "write journal"."""
    if isinstance(call, PowerCut):
        return "power cut"
    path = (call.target if isinstance(call, Rename) else call.path).removeprefix(f"{DATA}/")
    return f"{type(call).__name__.lower()} {path.partition('/')[0]}"
