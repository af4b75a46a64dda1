"""Command line of the campaign; as root it runs in a mount and a network namespace of its own.

So nothing that it mounts outlives it, and its ports are nobody else's.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import msgspec

from campaign.catalogue import FAULTS, INSIDE
from campaign.chain import CHAIN
from campaign.patched import CHANGES
from campaign.play import Options, play


def enter_namespaces() -> None:
    """Run this command again in namespaces of its own, where that is possible; returns where it is not."""
    if os.environ.get(INSIDE) or os.geteuid() != 0 or shutil.which("unshare") is None:
        return
    tried = subprocess.run(
        ["unshare", "-m", "-n", "--propagation", "private", "ip", "link", "set", "lo", "up"],
        capture_output=True,
        check=False,
        timeout=20,
    )
    if tried.returncode:
        return
    script = 'ip link set lo up && exec "$0" -m campaign "$@"'
    os.environ[INSIDE] = "1"
    os.execvp(
        "unshare",
        [
            "unshare",
            "-m",
            "-n",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            sys.executable,
            *sys.argv[1:],
        ],
    )


@click.command()
@click.option("--rounds", default=20, show_default=True, type=click.IntRange(1), help="Rounds of 5 to 20 s.")
@click.option("--fault", "faults", multiple=True, type=click.Choice([fault.name for fault in FAULTS]))
@click.option("--seed", default=1, show_default=True, help="Of every choice.")
@click.option("--singly", is_flag=True, help="Never two faults in one round.")
@click.option("--node", default="", type=click.Choice(["", *CHAIN]), help="Whom faults with a choice hurt.")
@click.option("--until-found", is_flag=True, help="A round that is not good is the last one.")
@click.option("--plant", type=click.Choice(sorted(CHANGES)), help="A defect in every node: must be found.")
@click.option("--keep", type=click.Path(path_type=Path), help="Where rounds that are not good are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    rounds: int,
    faults: tuple[str, ...],
    seed: int,
    singly: bool,
    node: str,
    until_found: bool,
    plant: str | None,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Hurt a chain of real processes, and account for every acknowledged reading.

    Exit 0 if nothing was lost, doubled or disordered and all books balance; 1 if not.
    """
    enter_namespaces()
    options = Options(rounds, seed, faults, (plant,) if plant else (), keep, singly, node, until_found)
    outcome = asyncio.run(play(options, lambda text: click.echo(text, err=True)))
    encoded = msgspec.json.encode(outcome)
    if as_json:
        click.echo(encoded.decode())
    else:
        click.echo(msgspec.json.format(encoded).decode())
    raise SystemExit(0 if outcome.good else 1)


if __name__ == "__main__":
    main()
