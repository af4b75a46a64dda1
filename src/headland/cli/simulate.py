"""`headland simulate`: real nodes on a simulated clock, disk and network, while everything goes wrong."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import click
import msgspec

from headland.simulation.many import Report, run_many
from headland.simulation.run import Outcome
from headland.simulation.scenario import load

BAR = 30


class Seeds(click.ParamType):  # type: ignore[type-arg]
    """`A..B`, both included."""

    name = "A..B"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The two numbers."""
        found = re.fullmatch(r"(\d+)\.\.(\d+)", str(value))
        if found is None or int(found[1]) > int(found[2]):
            self.fail(f"{value!r} is not a range of seeds such as 1..200", param, ctx)
        return int(found[1]), int(found[2])


@click.command(name="simulate")
@click.argument("scenario", type=click.Path(path_type=Path, exists=True))
@click.option("--seed", type=click.IntRange(0), help="Run one seed.")
@click.option("--seeds", type=Seeds(), help="Run a range of seeds, such as 1..200.")
@click.option("--processes", type=click.IntRange(1), help="Processes; as many as there are processors.")
@click.option("--story", is_flag=True, help="Tell of every broken law what happened, in order.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    scenario: Path,
    seed: int | None,
    seeds: tuple[int, int] | None,
    processes: int | None,
    story: bool,
    as_json: bool,
) -> None:
    """Simulate SCENARIO, a TOML file or a folder with a scenario.toml.

    The same composed node that `headland run` starts lives on a simulated clock, disk and network; what goes
    wrong and when follows from the seed, as does everything else: the same seed gives the same trace hash.
    Laws are judged during the run and when everything has come to rest. Exit 0 if all held, 1 if one was
    broken, 2 if the scenario is wrong.
    """
    if seed is not None and seeds is not None:
        raise click.UsageError("--seed and --seeds exclude each other")
    loaded = load(scenario)
    first, last = seeds if seeds is not None else (seed if seed is not None else 1,) * 2
    wanted = range(first, last + 1)
    bar = Bar(len(wanted))
    report = run_many(
        loaded, wanted, story=story, processes=processes or os.cpu_count() or 1, progress=bar.tell
    )
    bar.end()
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        _print(report)
    raise SystemExit(1 if report.violated else 0)


class Bar:
    """One line on stderr, where stderr is a terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._broken = 0

    def tell(self, outcome: Outcome) -> None:
        """One seed has ended."""
        self._done += 1
        self._broken += bool(outcome.violations)
        if sys.stderr.isatty():
            filled = BAR * self._done // self._total
            bar = "#" * filled + "." * (BAR - filled)
            line = f"\r[{bar}] {self._done}/{self._total} seeds, {self._broken} broken"
            click.echo(line, nl=False, err=True)

    def end(self) -> None:
        """Leave the line."""
        if sys.stderr.isatty():
            click.echo(err=True)


def _print(report: Report) -> None:
    click.echo(
        f"{report.seeds_run} seeds, {report.steps} steps, {report.acked} readings acknowledged, "
        f"{report.stored} rows stored, at rest within {report.drained_s_max:.1f} s"
    )
    click.echo(f"trace {report.trace_hash}")
    for what, times in report.hits.items():
        click.echo(f"  {times:>7}  {what}")
    for one in report.violations:
        click.echo(f"seed {one.seed}, step {one.step}: {one.law}")
        for line in one.story:
            click.echo(f"    {line}")
    if report.violated:
        click.echo(f"{report.violated} laws broken, in seeds {', '.join(map(str, report.seeds_violated))}")
    else:
        click.echo("every law held")
