"""Verdicts with their places: figures per module, and survivors with their reasons."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from mutation.engine import KILLED, SURVIVED, TIMEOUT, UNTESTED

REASONS = Path(__file__).with_name("reasons.toml")
WORDS = "the words of an error: tests hold that it is raised, and of which kind"


class Figures(msgspec.Struct, frozen=True):
    """What became of the mutants of one module.

    Attributes:
        room: Its room.
        module: Its name below `headland`.
        mutants: How many there are.
        run: How many were judged.
        killed: A test failed.
        timeouts: A test did not end in time, which the suite notices as well.
        survived: Every test that calls the function passed.
        untested: No test calls the function; these survive too.
    """

    room: str
    module: str
    mutants: int
    run: int
    killed: int
    timeouts: int
    survived: int
    untested: int

    @property
    def noticed(self) -> int:
        """Killed or timed out."""
        return self.killed + self.timeouts


class Survivor(msgspec.Struct, frozen=True):
    """A mutant that no test noticed.

    Attributes:
        where: Module, class and function.
        name: The tool's name for it, which changes when the function does.
        lost: Lines that it takes away.
        gained: Lines that it puts in their place.
        why: Why no test can or should notice; empty if nobody has said so.
    """

    where: str
    name: str
    lost: list[str]
    gained: list[str]
    why: str = ""


class Result(msgspec.Struct, frozen=True):
    """One run over one room.

    Attributes:
        room: Its name.
        sample: About so many mutants were drawn; 0 for all.
        seed: Of the sample.
        seconds: How long it took.
        modules: Figures of each.
        survivors: Mutants that were not noticed.
    """

    room: str
    sample: int
    seed: int
    seconds: float
    modules: list[Figures]
    survivors: list[Survivor]

    @property
    def counts(self) -> tuple[int, int]:
        """Mutants noticed, and run."""
        return sum(one.noticed for one in self.modules), sum(one.run for one in self.modules)


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why some mutants of a function survive.

    Attributes:
        where: Module, class and function, as a survivor has it.
        becomes: The lines that the mutants put in, without indentation.
        why: The reason.
    """

    where: str
    becomes: list[str]
    why: str


def reasons() -> list[Reason]:
    """The committed ones."""
    return msgspec.convert(tomllib.loads(REASONS.read_text()), dict[str, list[Reason]]).get("reason", [])


def figures(room: str, module: str, mutants: int, judged: Mapping[str, str]) -> Figures:
    """Count the verdicts of one module."""
    of = list(judged.values()).count
    return Figures(room, module, mutants, len(judged), of(KILLED), of(TIMEOUT), of(SURVIVED), of(UNTESTED))


def place(mutant: str) -> str:
    """`headland.line.ledger.xǁLedgerǁapply__mutmut_3` -> `line.ledger.Ledger.apply`."""
    module, _, mangled = mutant.removeprefix("headland.").rpartition(".")
    function = mangled.rpartition("__mutmut_")[0]
    inner = function.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in function else function.removeprefix("x_")
    return f"{module}.{inner}"


def survivors(differences: Mapping[str, Sequence[str]], known: Sequence[Reason]) -> list[Survivor]:
    """Each with its lines, and with its reason where one is known."""
    by_line = {(reason.where, line): reason.why for reason in known for line in reason.becomes}
    found = []
    for name, lines in differences.items():
        where = place(name)
        lost = [line[1:].strip() for line in lines if line[0] == "-"]
        gained = [line[1:].strip() for line in lines if line[0] == "+"]
        why = next((by_line[where, line] for line in gained if (where, line) in by_line), "")
        if lost and lost[0].startswith("raise "):
            why = why or WORDS
        found.append(Survivor(where, name, lost, gained, why))
    return found
