"""`headland demo`: four tiers on this machine, with faults, checking itself."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path

import click
import msgspec

from headland.vocabulary import ConfigurationError


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@click.command(name="demo")
@click.option(
    "--seconds",
    type=click.FloatRange(10, 86_400),
    default=60.0,
    show_default=True,
    help="How long devices measure.",
)
@click.option(
    "--cut",
    "cut_s",
    type=click.FloatRange(0, 86_400),
    default=20.0,
    show_default=True,
    help="How long the link between a local node and the regional one is cut, seconds; 0 for never.",
)
@click.option(
    "--kill",
    "kills",
    type=click.IntRange(0, 100),
    default=1,
    show_default=True,
    help="How many times a node is killed with SIGKILL, between a commit and its acknowledgement.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Replay the recordings of this folder (CSV, NPZ, JSON lines, logs) instead of the physical model.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the physical model.")
@click.option("--serve", is_flag=True, help="Stay up afterwards, devices running, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    seconds: float, cut_s: float, kills: int, data: Path | None, seed: int, serve: bool, as_json: bool
) -> None:
    """Run four tiers with real clients on this machine, and break things meanwhile.

    One cloud, one regional, two local and three device nodes, each a process of its own. A link is cut,
    nodes are killed, everything is restored and drained. Then every acknowledged reading is looked for at
    the cloud, from the clients' own logs, the rules and one query: exit 0 only if none is lost, doubled or
    out of order, and all books balance. Progress is on stderr.
    """
    for module, what in (("paho.mqtt.client", "paho-mqtt"), ("cel", "common-expression-language")):
        if not _is_there(module):
            raise ConfigurationError(
                f"the demonstration needs {what}", hint="pip install 'headland[demo]' brings what it needs"
            )
    from headland.demo.story import Options, play
    from headland.demo.view import View

    options = Options(seconds, cut_s, kills, seed, data.resolve() if data is not None else None, serve)
    try:
        judged = asyncio.run(play(options, View(sys.stderr)))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except asyncio.CancelledError:  # SIGTERM
        raise SystemExit(143) from None
    if as_json:
        click.echo(msgspec.json.encode(judged.outcome).decode())
    raise SystemExit(0 if judged.good else 1)
