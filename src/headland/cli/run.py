"""`headland run`: the node itself."""

from __future__ import annotations

from pathlib import Path

import click

from headland.cli.running import start


@click.command(name="run")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
def command(config: Path) -> None:
    """Run a node until it is told to stop.

    SIGTERM or SIGINT: stop listening, commit what was read, end within a bounded time (exit 0, also while it
    starts). SIGHUP: read the file again, apply what can be applied and say what needs a restart. Exit 1 when
    the disk fails (nothing more is acknowledged, and a supervisor starts it again), 2 when the configuration
    is wrong.
    """
    raise SystemExit(start(config))
