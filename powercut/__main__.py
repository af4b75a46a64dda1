"""Command line of the power cuts."""

from __future__ import annotations

import os

import click
import msgspec

from powercut.plants import PLANTS
from powercut.running import LONG_S, SHORT_S, Options, Outcome, run


@click.command()
@click.option("--full", is_flag=True, help="Every state of a long run.")
@click.option(
    "--states", default=500, show_default=True, type=click.IntRange(1), help="So many of a short run."
)
@click.option("--seed", default=1, show_default=True, help="Of the run, and of what is drawn.")
@click.option("--plant", type=click.Choice(sorted(PLANTS)), help="A defect that has to be found.")
@click.option(
    "--processes", default=0, type=click.IntRange(0), help="0: one a processor with --full, else one."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(full: bool, states: int, seed: int, plant: str | None, processes: int, as_json: bool) -> None:
    """Cut the power of three nodes in every place, recover what may be left, and judge it.

    Exit 0 if every law held in every state; 1 if not.
    """
    options = Options(
        states=None if full else states,
        seed=seed,
        duration_s=LONG_S if full else SHORT_S,
        plant=plant or "",
        processes=processes or (os.cpu_count() or 1 if full else 1),
    )
    outcome = run(options, lambda text: click.echo(text, err=True))
    click.echo(msgspec.json.encode(outcome).decode() if as_json else _told(outcome))
    raise SystemExit(0 if outcome.good else 1)


def _told(outcome: Outcome) -> str:
    lines = [
        f"crash states recovered and judged: {outcome.states} of {outcome.existing}",
        f"  of them through the real driver too: {outcome.real}",
        f"traces: {outcome.calls} calls, {outcome.commits} commits, seed {outcome.seed}",
        "left of what was not synced: " + ", ".join(f"{how} {times}" for how, times in outcome.how.items()),
        f"{outcome.blocks_read} blocks read back; laws broken: {len(outcome.faults)}",
    ]
    for fault in outcome.faults:
        where = f"{fault.node}, behind call {fault.calls} ({fault.last}), {fault.how}"
        lines.append(f"  {where}: {fault.law}: {fault.text}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
