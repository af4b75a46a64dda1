"""A target under mutation with a seed, in this process: `python -m fuzz.seeded TARGET [options]`.

Prints one JSON object: inputs, a digest over all transcripts (equal in every build), findings, figures. It is
the way of the suite, of the comparison of builds, and of machines without a coverage-guided engine.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import msgspec

from fuzz.mutating import mutated
from fuzz.registry import BUILD, NAMES, corpus, target
from fuzz.target import Target
from headland.mqtt import broker

CPU_SECONDS_MAX = 5.0
"""Of one input."""
GROWTH_MB_MAX = 256
"""Of the process's peak memory while inputs are checked."""
FINDINGS_MAX = 5


class Finding(msgspec.Struct):
    """An input that broke a law.

    Attributes:
        input: The input.
        story: What happened, its last frames.
    """

    input: bytes
    story: str


class Outcome(msgspec.Struct):
    """What came of a run.

    Attributes:
        target: Its name.
        compiled: Whether the broker, and so what may be compiled, was.
        runs: Inputs checked.
        digest: Over every input and transcript.
        slowest_s: CPU seconds of the slowest input.
        growth_mb: Growth of the peak memory.
        findings: Inputs that broke the law.
    """

    target: str
    compiled: bool = False
    runs: int = 0
    digest: str = ""
    slowest_s: float = 0.0
    growth_mb: float = 0.0
    findings: list[Finding] = []


def run(
    one: Target, inputs: Sequence[bytes], seed: int, rounds: int | None, seconds: float | None = None
) -> Outcome:
    """Check a corpus, then inputs made of it.

    Args:
        one: The target.
        inputs: The corpus.
        seed: Of the mutation.
        rounds: How many mutated inputs; None for as many as fit.
        seconds: How long, in CPU time; None for as long as it takes.
    """
    outcome, digest = Outcome(one.name, is_compiled()), hashlib.blake2b(digest_size=16)
    before = _peak_mb()
    until = None if seconds is None else time.process_time() + seconds
    mutants: Iterator[bytes] = islice(mutated(inputs, one.words, seed, one.input_bytes_max), rounds)
    for data in chain(inputs, mutants):
        outcome.runs += 1
        began = time.process_time()
        if until is not None and began >= until:
            break
        try:
            transcript = one.check(data)
        except Exception:  # noqa: BLE001 - every exception that comes out of a decoder is a finding
            transcript = b"raised"
            outcome.findings.append(Finding(data, traceback.format_exc(limit=-6)))
        took = time.process_time() - began
        if took > CPU_SECONDS_MAX:
            outcome.findings.append(Finding(data, f"took {took:.1f} s of CPU"))
        outcome.slowest_s = max(outcome.slowest_s, round(took, 4))
        digest.update(data + transcript)
        if len(outcome.findings) >= FINDINGS_MAX:
            break
    outcome.growth_mb = round(_peak_mb() - before, 1)
    if outcome.growth_mb > GROWTH_MB_MAX:
        outcome.findings.append(Finding(b"", f"memory grew by {outcome.growth_mb} MB"))
    outcome.digest = digest.hexdigest()
    return outcome


def is_compiled() -> bool:
    """Whether compiled modules are used in this process."""
    return bool(broker.__file__) and not broker.__file__.endswith(".py")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


def main() -> int:
    """Run one target as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.seeded")
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--found", action="store_true", help="begin with what earlier runs found, too")
    given = parser.parse_args()
    one = target(given.target)
    inputs = list(corpus(one.name).values())
    if given.found:
        inputs += [path.read_bytes() for path in sorted((BUILD / "corpus" / one.name).glob("*"))]
    rounds = one.rounds if given.rounds is None and given.seconds is None else given.rounds
    outcome = run(one, inputs, given.seed, rounds, given.seconds)
    sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
    return 1 if outcome.findings else 0


def keep(outcome: Outcome, folder: Path) -> list[str]:
    """Write findings as files, each with its story beside it; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for finding in outcome.findings:
        name = f"raised-{hashlib.blake2b(finding.input, digest_size=8).hexdigest()}"
        (folder / name).write_bytes(finding.input)
        (folder / f"{name}.txt").write_text(finding.story)
        paths.append(str(folder / name))
    return paths


if __name__ == "__main__":
    sys.exit(main())
