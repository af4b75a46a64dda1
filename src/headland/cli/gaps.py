"""`headland gaps`: blocks that a node does not have, and why."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from headland.cli.asking import answer, ask, asks_a_node, door_of, moment, size, table
from headland.node.gaps import Gap


class Listed(msgspec.Struct, frozen=True):
    """What `headland gaps --json` prints."""

    gaps: list[Gap]
    unlisted: int


@click.command(name="gaps")
@asks_a_node
def command(target: str, as_json: bool, ca: Path | None, token_env: str) -> None:
    """Show the blocks that NODE (its file, or http://HOST:PORT) was told will not come, and those it misses.

    Each with its reason and its last known custodian: the child that told it, or that had brought the blocks
    before it. A hole without a reason may be on its way. Exit 0 if there is none, 1 if there is.
    """
    data = ask(door_of(target, token_env, ca), "/v1/gaps")
    listed = answer(data, Listed)
    if as_json:
        click.echo(data.decode())
    else:
        rows = [
            (one.origin, one.row_class, _ranges(one), one.reason, one.custodian,
             "-" if one.readings is None else f"{one.readings:,}",
             "-" if one.bytes is None else size(one.bytes), moment(one.ts_min), moment(one.ts_max))
            for one in listed.gaps
        ]  # fmt: skip
        head = ("origin", "class", "blocks", "reason", "custodian", "readings", "bytes", "from", "to")
        click.echo(table(head, rows) if rows else "nothing is missing")
        if listed.unlisted:
            click.echo(f"{listed.unlisted:,} older ones are no longer listed")
    raise SystemExit(1 if listed.gaps or listed.unlisted else 0)


def _ranges(gap: Gap) -> str:
    return ", ".join(f"{low:,}" if low == high else f"{low:,}-{high:,}" for low, high in gap.blocks)
