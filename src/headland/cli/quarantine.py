"""`headland quarantine`: payloads that did not fit."""

from __future__ import annotations

from pathlib import Path

import click

from headland.cli.asking import answer, ask, asks_a_node, door_of, moment, size, table
from headland.node.quarantine import Listed

PREVIEW = 40


@click.command(name="quarantine")
@asks_a_node
def command(target: str, as_json: bool, ca: Path | None, token_env: str) -> None:
    """List the payloads that NODE (its file, or http://HOST:PORT) has kept because they were no readings.

    They were acknowledged and kept whole, the oldest first; the list is bounded, and what had to make room is
    counted.
    """
    data = ask(door_of(target, token_env, ca), "/v1/quarantine")
    listed = answer(data, Listed)
    if as_json:
        click.echo(data.decode())
        return
    rows = [
        (one.number, moment(one.node_ns), one.client, one.topic, one.reason, one.detail, size(one.bytes),
         one.preview[:PREVIEW])
        for one in listed.entries
    ]  # fmt: skip
    head = ("number", "time", "client", "topic", "reason", "detail", "bytes", "payload")
    click.echo(table(head, rows) if rows else "nothing is in quarantine")
    if listed.evicted:
        click.echo(f"{listed.evicted:,} older ones had to make room")
