"""Fuzz: `./dev fuzz [TARGET ...] [--seconds S] [--full] [--seed N] [--seeds] [--json]`.

Each target has `--seconds` (8; with `--full` an hour is shared out) under atheris where that is installed,
else under mutation with a seed. Then the corpus and what was found go through the plain and the compiled
build, whose transcripts must be equal. Exit codes: 0 no finding, 1 a finding, 2 usage.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from fuzz import seeded
from fuzz.registry import BUILD, CORPUS, NAMES, ROOT, target, write_seeds

FULL_S = 3_600.0
INPUT_SECONDS_MAX = 10
MEMORY_MB_MAX = 2_048
_DONE = re.compile(r"Done (\d+) runs? in")
_COVERAGE = re.compile(r"cov: (\d+) ft: (\d+)")
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


class Report(msgspec.Struct):
    """What came of one target.

    Attributes:
        target: Its name.
        engine: "atheris" or "seeded".
        seconds: Wall time.
        runs: Inputs checked.
        coverage: Edges of headland's bytecode reached, 0 where they are not counted.
        corpus: Inputs that each reach something of their own, committed or found.
        builds: "equal", "differ", or "not compared": no compiled module is on the way, or none is there.
        findings: Files of inputs that broke the law.
    """

    target: str
    engine: str
    seconds: float = 0.0
    runs: int = 0
    coverage: int = 0
    corpus: int = 0
    builds: str = "not compared"
    findings: list[str] = []


def main() -> int:
    """Run what the arguments say."""
    given = _arguments()
    names = given.targets or list(NAMES)
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        _say(f"no target {', '.join(unknown)}; there are {', '.join(NAMES)}")
        return 2
    if given.seeds:
        for name in names:
            _say(f"{name}: {write_seeds(name)} seeds")
        return 0
    seconds = FULL_S / len(names) if given.full else given.seconds
    guided = importlib.util.find_spec("atheris") is not None
    if not guided:
        _say("atheris is not installed here: mutation with a seed, blind to coverage")
    reports = []
    for name in names:
        report = _guided(name, seconds, given.seed) if guided else _seeded(name, seconds, given.seed)
        if target(name).compiled:
            report.builds = _compared(name, given.seed)
            report.findings += ["the plain and the compiled build differ"] * (report.builds == "differ")
        reports.append(report)
        _say(
            f"{name}: {report.runs} inputs in {report.seconds:.0f} s ({report.engine}), "
            f"coverage {report.coverage}, builds {report.builds}, {len(report.findings)} findings"
        )
        for path in report.findings:
            _say(f"  {path}")
    findings = sum(len(report.findings) for report in reports)
    if given.json:
        whole = {
            "targets": reports,
            "runs": sum(report.runs for report in reports),
            "seconds": round(sum(report.seconds for report in reports), 1),
            "findings": findings,
            "seed": given.seed,
        }
        sys.stdout.buffer.write(msgspec.json.encode(whole) + b"\n")
    return 1 if findings else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description="strangers' bytes for every decoder")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=8.0, help="of each target")
    parser.add_argument("--full", action="store_true", help="an hour in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", action="store_true", help="write the seeds of the corpus again, and stop")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _guided(name: str, seconds: float, seed: int) -> Report:
    new, findings = BUILD / "corpus" / name, BUILD / "findings" / name
    for folder in (new, findings):
        folder.mkdir(parents=True, exist_ok=True)
    words = BUILD / f"{name}.dict"
    words.write_text("".join(map(_quoted, target(name).words)))
    known = set(findings.iterdir())
    began = time.monotonic()
    done = subprocess.run(
        [
            sys.executable, "-m", "fuzz.guided", name,
            f"-max_total_time={max(1, round(seconds))}", f"-seed={seed}", f"-dict={words}",
            f"-max_len={target(name).input_bytes_max}", f"-timeout={INPUT_SECONDS_MAX}",
            f"-rss_limit_mb={MEMORY_MB_MAX}", f"-artifact_prefix={findings}/", "-print_final_stats=1",
            str(new), str(CORPUS / name),
        ],
        cwd=ROOT, capture_output=True, timeout=seconds + 300, check=False,
    )  # fmt: skip
    told = done.stderr.decode("utf-8", "replace") + done.stdout.decode("utf-8", "replace")
    executed = _DONE.search(told) or _EXECUTED.search(told)
    coverage = _COVERAGE.findall(told)
    found = sorted(str(path) for path in set(findings.iterdir()) - known)
    if done.returncode or found:
        log = findings / "last.log"
        log.write_text(told)
        found = [path for path in found if not path.endswith(".log")] or [f"exit {done.returncode}: {log}"]
    return Report(
        name,
        "atheris",
        round(time.monotonic() - began, 1),
        int(executed[1]) if executed else 0,
        int(coverage[-1][0]) if coverage else 0,
        len(list(new.iterdir())) + len(list((CORPUS / name).iterdir())),
        findings=found,
    )


def _quoted(word: bytes) -> str:
    """A line of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


def _seeded(name: str, seconds: float, seed: int) -> Report:
    began = time.monotonic()
    outcome = _run(name, "--seconds", str(seconds), "--seed", str(seed), pure=True)
    paths = seeded.keep(outcome, BUILD / "findings" / name)
    took = round(time.monotonic() - began, 1)
    return Report(
        name, "seeded", took, outcome.runs, corpus=len(list((CORPUS / name).iterdir())), findings=paths
    )


def _compared(name: str, seed: int) -> str:
    """The same inputs through both builds."""
    plain, compiled = (_run(name, "--found", "--seed", str(seed), pure=pure) for pure in (True, False))
    if not compiled.compiled:
        return "not compared"
    return "equal" if (plain.digest, plain.runs) == (compiled.digest, compiled.runs) else "differ"


def _run(name: str, *options: str, pure: bool) -> seeded.Outcome:
    environment = {key: value for key, value in os.environ.items() if key != "HEADLAND_PURE"}
    if pure:
        environment["HEADLAND_PURE"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.seeded", name, *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        check=False,
    )
    return msgspec.json.decode(done.stdout, type=seeded.Outcome)


def _say(text: str) -> None:
    sys.stderr.write(f"fuzz: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    assert Path.cwd() == ROOT
    sys.exit(main())
