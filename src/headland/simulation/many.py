"""Many seeds: one after the other, or in processes of their own; the answer is the same."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

import msgspec

from headland.simulation.run import Outcome, run_seed
from headland.simulation.scenario import Scenario
from headland.simulation.witness import Violation

SHOWN_MAX = 100
"""Violations in a report; all of them are counted."""


class Report(msgspec.Struct, frozen=True):
    """What `headland simulate --json` prints.

    Attributes:
        seeds_run: How many runs.
        steps: Steps of all of them.
        violations: Broken laws, at most `SHOWN_MAX`.
        trace_hash: Hash over the trace hashes of all runs, in order of their seeds.
        hits: What was hit, how often, over all runs.
        acked: Readings acknowledged.
        stored: Rows at the roots.
        violated: How many laws were broken, those that are not shown included.
        seeds_violated: Seeds that broke one.
        drained_s_max: Longest time from the last fault's end to rest, simulated seconds.
    """

    seeds_run: int
    steps: int
    violations: list[Violation]
    trace_hash: str
    hits: dict[str, int]
    acked: int
    stored: int
    violated: int
    seeds_violated: list[int]
    drained_s_max: float


class _Job(msgspec.Struct, frozen=True):
    scenario: Scenario
    seed: int
    story: bool


def run_many(
    scenario: Scenario,
    seeds: Sequence[int],
    *,
    story: bool = False,
    processes: int = 1,
    progress: Callable[[Outcome], None] = lambda _: None,
) -> Report:
    """Run every seed; `progress` is told of each as it ends."""
    jobs = [_Job(scenario, seed, story) for seed in seeds]
    outcomes: list[Outcome] = []
    for outcome in _outcomes(jobs, processes):
        outcomes.append(outcome)
        progress(outcome)
    return report(outcomes)


def report(outcomes: Sequence[Outcome]) -> Report:
    """The sum of outcomes, in order of their seeds."""
    ordered = sorted(outcomes, key=lambda outcome: outcome.seed)
    hashed = blake2b(digest_size=16)
    hits: dict[str, int] = {}
    violations: list[Violation] = []
    for outcome in ordered:
        hashed.update(outcome.trace_hash.encode())
        violations += outcome.violations
        for what, times in outcome.hits.items():
            hits[what] = hits.get(what, 0) + times
    return Report(
        seeds_run=len(ordered),
        steps=sum(outcome.steps for outcome in ordered),
        violations=violations[:SHOWN_MAX],
        trace_hash=hashed.hexdigest(),
        hits=dict(sorted(hits.items())),
        acked=sum(outcome.acked for outcome in ordered),
        stored=sum(outcome.stored for outcome in ordered),
        violated=len(violations),
        seeds_violated=[outcome.seed for outcome in ordered if outcome.violations],
        drained_s_max=max((outcome.drained_s for outcome in ordered), default=0.0),
    )


def _outcomes(jobs: Sequence[_Job], processes: int) -> Iterator[Outcome]:
    if processes <= 1 or len(jobs) <= 1:
        yield from map(_work, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=50) as pool:
        yield from pool.imap_unordered(_work, jobs)


def _work(job: _Job) -> Outcome:
    return run_seed(job.scenario, job.seed, story=job.story)
