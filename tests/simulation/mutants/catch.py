"""Runs the simulator over a mutated product until a law is broken, and looks for seeds at which that happens.

    python -m tests.simulation.mutants.catch --seeds 1..40 [NAME ...]

Every mutant is planted in a process of its own. Seeds at which the product itself breaks a law are left out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tests.simulation.mutants import of_ingest, of_journal, of_link, of_node, of_outbox
from tests.simulation.mutants.patching import Mutant, planted

from headland.simulation.run import Run
from headland.simulation.scenario import Scenario, load

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[2] / "examples"
STEPS_MAX = 400_000
"""A run of the product takes a tenth of it; a mutant that goes on for ever is not worth waiting for."""
MUTANTS: list[Mutant] = [
    mutant for room in (of_journal, of_node, of_outbox, of_link, of_ingest) for mutant in room.garden.mutants
]


class Hunt(Run):
    """A run that ends at the first broken law."""

    def _hopeless(self) -> bool:
        return bool(self.witness.violations) or self.world.steps > STEPS_MAX


@cache
def scenario(name: str) -> Scenario:
    """A folder of the examples, or a file of this folder."""
    own = HERE / f"{name}.toml"
    return load(own if own.exists() else EXAMPLES / name)


def broken(mutant: Mutant | None, name: str, seed: int) -> str:
    """The first law that is broken at a seed and how, or ""."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if mutant is None:
            hunt = Hunt(scenario(name), seed)
            hunt.go()
        else:
            with planted(mutant):
                hunt = Hunt(scenario(name), seed)
                hunt.go()
    if hunt.witness.violations:
        first = hunt.witness.violations[0]
        return f"{first.law}: {' | '.join(first.story)[:300]}"
    return ""


@cache
def product_passes(name: str, seed: int) -> bool:
    """Whether the product itself keeps every law at a seed."""
    return not broken(None, name, seed)


def caught(mutant: Mutant, seeds: Iterable[int]) -> tuple[int, str] | None:
    """The first seed at which the mutant breaks a law that the product keeps, and which; None if none does.

    The seeds that are written beside the mutant come first.
    """
    for seed in dict.fromkeys((*mutant.seeds, *seeds)):
        law = broken(mutant, mutant.scenario, seed)
        if law and product_passes(mutant.scenario, seed):
            return seed, law
    return None


def _search(job: tuple[str, list[int]]) -> tuple[str, int, str]:
    """(name, seed, law) of the first seed that catches a mutant; seed -1 when none does."""
    mutant = next(one for one in MUTANTS if one.name == job[0])
    for seed in job[1]:
        law = broken(mutant, mutant.scenario, seed)
        if law:
            return mutant.name, seed, law
    return mutant.name, -1, ""


def _clean(job: tuple[str, int]) -> tuple[int, str]:
    return job[1], broken(None, *job)


def _seeds(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition("..")
        yield from range(int(first), int(last or first) + 1)


def main() -> None:
    """Search."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", default="1..40")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--scenario", default="")
    parser.add_argument("--trusted", action="store_true", help="the product is known to pass these seeds")
    chosen = parser.parse_args()
    seeds = list(_seeds(chosen.seeds))
    named = {one.name: one for one in MUTANTS}
    wanted = [named[name] for name in chosen.names] or MUTANTS
    wanted = [one for one in wanted if not chosen.scenario or one.scenario == chosen.scenario]
    with multiprocessing.get_context("spawn").Pool(chosen.processes, maxtasksperchild=1) as pool:
        clean: dict[str, list[int]] = {}
        for name in sorted({one.scenario for one in wanted}):
            jobs = [(name, seed) for seed in seeds]
            found = [] if chosen.trusted else pool.map(_clean, jobs, chunksize=len(jobs))
            bad = {seed: law for seed, law in found if law}
            for seed, law in bad.items():
                print(f"{name} seed {seed}: the product itself: {law}", flush=True)
            clean[name] = [seed for seed in seeds if seed not in bad]
        jobs2 = [(one.name, clean[one.scenario]) for one in wanted]
        for name, seed, law in pool.imap_unordered(_search, jobs2):
            print(f"{name:48} {'NOT CAUGHT' if seed < 0 else seed} {law}", flush=True)


if __name__ == "__main__":
    main()
