"""Command line of the soak."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec
from benches.generator import NoCompiler

from headland.vocabulary import HeadlandError
from soak.generating import Shape
from soak.outcome import Outcome, told
from soak.page import write
from soak.running import Options, run

CUT_SHARE, CUT_MOST_S = 1 / 6, 30.0
LOOKS = 60
"""In a short run; at most one every 5 s in a long one."""


@click.command()
@click.option("--seconds", default=3600.0, show_default=True, type=click.FloatRange(10), help="Of load.")
@click.option(
    "--rate", default=50_000.0, show_default=True, type=click.FloatRange(1), help="Readings a second."
)
@click.option("--readings", default=100, show_default=True, type=click.IntRange(1, 800), help="A publish.")
@click.option("--connections", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option(
    "--cut-every", default=180.0, show_default=True, type=click.FloatRange(5), help="Seconds between cuts."
)
@click.option(
    "--cut-for", default=None, type=click.FloatRange(1), help="Seconds; a sixth of that, at most 30."
)
@click.option(
    "--budget", default=192, show_default=True, type=click.IntRange(0), help="The child's disk, MiB; 0: any."
)
@click.option("--keep", type=click.Path(path_type=Path), help="Leave the nodes here, and their data.")
@click.option("--page", type=click.Path(path_type=Path), help="Write the page, and its pictures beside it.")
@click.option(
    "--from", "source", type=click.Path(exists=True, path_type=Path), help="Of this JSON; run nothing."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    seconds: float,
    rate: float,
    readings: int,
    connections: int,
    cut_every: float,
    cut_for: float | None,
    budget: int,
    keep: Path | None,
    page: Path | None,
    source: Path | None,
    as_json: bool,
) -> None:
    """Load two tiers for an hour, cut the uplink every few minutes, and look whether anything creeps.

    Exit 0 if nothing was lost, doubled or disordered, all books balance, and memory, descriptors and latency
    are where they were; 1 if not.
    """
    sample_s = min(5.0, max(1.0, seconds / LOOKS))
    if source is not None:
        outcome = msgspec.json.decode(source.read_bytes(), type=Outcome)
    else:
        shape = Shape(rate, readings, connections, seconds, sample_s)
        cut_for = min(CUT_MOST_S, cut_every * CUT_SHARE) if cut_for is None else cut_for
        try:
            outcome = asyncio.run(
                run(
                    Options(shape, cut_every, cut_for, sample_s, budget << 20, keep),
                    lambda text: click.echo(text, err=True),
                )
            )
        except (HeadlandError, NoCompiler) as problem:
            raise click.ClickException(str(problem)) from None
    if page is not None:
        write(page, outcome)
    click.echo(msgspec.json.encode(outcome).decode() if as_json else told(outcome))
    raise SystemExit(0 if outcome.good else 1)


if __name__ == "__main__":
    main()
