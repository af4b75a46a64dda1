"""Which lines and branches of the product the simulator alone reaches, a room at a time.

    python -m tests.simulation.coverage [--seeds 1..40] [--processes 2] [--missing] [--keep DIR] [PATH ...]

Scenarios are folders or files; all that are shipped, unless some are named. Counted are `journal/`, `line/`
and `link/` whole, and of `node/` what its core is made of: every module that `node/core.py` or
`node/opening.py` imports, directly or through others of the room. The rest of that room (loop, server, the
local API, a journal read while no process runs) is the rim, which the simulator replaces. A line that
`pyproject.toml` excludes from every report (`if TYPE_CHECKING:`, `assert_never`, abstract methods) is
excluded here too, nothing else is. Exit 1 when a room is under the bar.
"""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "headland"
EXAMPLES = ROOT / "examples"
SHIPPED = ("factory", "workshop")
ROOMS = ("journal", "line", "link", "node")
CORE = ("core", "opening")
BAR = 0.90


class Share(msgspec.Struct):
    """What was reached of some lines and branches."""

    lines: int = 0
    lines_hit: int = 0
    branches: int = 0
    branches_hit: int = 0

    def add(self, other: Share) -> None:
        """Add another part to this one."""
        self.lines += other.lines
        self.lines_hit += other.lines_hit
        self.branches += other.branches
        self.branches_hit += other.branches_hit

    @property
    def ratio(self) -> float:
        """Lines and branches together, as `coverage report` counts them."""
        return (self.lines_hit + self.branches_hit) / max(1, self.lines + self.branches)

    def __str__(self) -> str:
        lines, branches = self.lines_hit / max(1, self.lines), self.branches_hit / max(1, self.branches)
        of_lines, of_branches = f"{lines:6.1%} of {self.lines:5}", f"{branches:6.1%} of {self.branches:5}"
        return f"{self.ratio:7.1%}   lines {of_lines}   branches {of_branches}"


def counted(room: str) -> list[Path]:
    """Files of a room that count."""
    files = sorted((SOURCE / room).rglob("*.py"))
    if room != "node":
        return files
    core = _reached()
    return [file for file in files if file.stem in core]


def _reached() -> set[str]:
    """Modules of `node/` that its core is made of."""
    reached: set[str] = set()
    waiting = list(CORE)
    while waiting:
        name = waiting.pop()
        file = SOURCE / "node" / f"{name}.py"
        if name in reached or not file.exists():
            continue
        reached.add(name)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "headland.node":
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("headland.node."):
                waiting.append((node.module or "").split(".")[2])
    return reached


class _Job(msgspec.Struct, frozen=True):
    scenario: str
    seed: int
    data: str


def _work(job: _Job) -> str:
    """Run one seed; the law that it broke, or ""."""
    os.environ["HEADLAND_PURE"] = "1"
    from coverage import Coverage

    measured = Coverage(branch=True, source_pkgs=["headland"], data_file=job.data, config_file=False)
    measured.start()
    try:
        from headland.simulation.run import run_seed
        from headland.simulation.scenario import load

        broken = run_seed(load(Path(job.scenario)), job.seed).violations[:1]
        return "".join(f"{job.scenario} seed {job.seed}: {one.law}: {one.story[0]}" for one in broken)
    finally:
        measured.stop()
        measured.save()


def measure(
    scenarios: Sequence[Path], seeds: Sequence[int], processes: int, folder: Path, *, missing: bool
) -> dict[str, Share]:
    """Run every scenario with every seed; what `folder` holds of earlier runs counts too."""
    from coverage import Coverage

    jobs = [
        _Job(str(scenario), seed, str(folder / f"part.{scenario.stem}.{seed}"))
        for seed in seeds
        for scenario in scenarios
        if not (folder / f"part.{scenario.stem}.{seed}").exists()
    ]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for broken in pool.imap_unordered(_work, jobs, chunksize=1):
            if broken:
                print(broken, file=sys.stderr)
    whole = Coverage(branch=True, data_file=str(folder / "whole"), config_file=str(ROOT / "pyproject.toml"))
    whole.combine([str(part) for part in sorted(folder.glob("part.*"))], keep=True)
    return {room: _share(whole, room, missing) for room in ROOMS}


def _share(whole: object, room: str, missing: bool) -> Share:
    from coverage import Coverage

    assert isinstance(whole, Coverage)
    total = Share()
    for file in counted(room):
        one = whole._analyze(str(file)).numbers
        share = Share(one.n_statements, one.n_executed, one.n_branches, one.n_executed_branches)
        total.add(share)
        if missing and share.ratio < 1:
            lines = whole.analysis2(str(file))[4]
            print(f"  {share.ratio:6.1%}  {file.relative_to(SOURCE)}  {lines}")
    return total


def _seeds(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition("..")
        yield from range(int(first), int(last or first) + 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenarios", nargs="*", type=Path)
    parser.add_argument("--seeds", default="1..40")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="keep what was measured here, and go on from it")
    parser.add_argument("--missing", action="store_true", help="name the lines that were not reached")
    chosen = parser.parse_args()
    scenarios = chosen.scenarios or [EXAMPLES / name for name in SHIPPED]
    with tempfile.TemporaryDirectory() as passing:
        folder = chosen.keep or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        seeds = list(_seeds(chosen.seeds))
        shares = measure(scenarios, seeds, chosen.processes, folder, missing=chosen.missing)
    for room, share in shares.items():
        print(f"{room:8} {share}")
    raise SystemExit(0 if all(share.ratio >= BAR for share in shares.values()) else 1)


if __name__ == "__main__":
    main()
