"""`headland query`: the rows that a node stores."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from headland.cli.asking import answer, ask, asks_a_node, configuration, door_of, moment, table
from headland.node.query import Question
from headland.vocabulary import Priority, RowKind


class Rows(msgspec.Struct, frozen=True):
    """What `headland query --json` prints."""

    rows: list[dict[str, Any]]
    damaged: list[str] = []


class _Damaged(msgspec.Struct, frozen=True):
    damaged: list[str] = []


class When(click.ParamType[int]):
    """A time: ISO 8601 (UTC unless it says otherwise), or ns since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Nanoseconds since 1970, UTC."""
        text = str(value)
        if text.lstrip("-").isdecimal() and len(text) < 20:
            return int(text)
        try:
            when = dt.datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is neither ISO 8601 nor nanoseconds since 1970", param, ctx)
        when = when if when.tzinfo is not None else when.replace(tzinfo=dt.UTC)
        return round((when - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(microseconds=1)) * 1000


@click.command(name="query")
@asks_a_node
@click.option(
    "--series", default="*", show_default=True, help="Pattern of series, name or name{labels}; * is anything."
)
@click.option("--origin", default="*", show_default=True, help="Pattern of the node it comes from.")
@click.option("--since", type=When(), help="Event time from here on; ISO 8601 or ns since 1970.")
@click.option("--until", type=When(), help="Event time before this.")
@click.option(
    "--limit", type=click.IntRange(1), default=1000, show_default=True, help="At most so many rows."
)
@click.option(
    "--order",
    type=click.Choice(["time", "arrival"]),
    default="time",
    show_default=True,
    help="By event time (then epoch and commit at the origin), or by arrival at NODE.",
)
@click.option(
    "--revisions",
    type=click.Choice(["newest", "all"]),
    default="newest",
    show_default=True,
    help="Of a window, its highest revision or every one.",
)
@click.option(
    "--forked", is_flag=True, help="Rows of blocks kept beside: another of their identity had come before."
)
@click.option("--offline", is_flag=True, help="Read the data directory of a node that does not run.")
def command(
    target: str,
    as_json: bool,
    ca: Path | None,
    token_env: str,
    series: str,
    origin: str,
    since: int | None,
    until: int | None,
    limit: int,
    order: Literal["time", "arrival"],
    revisions: Literal["newest", "all"],
    forked: bool,
    offline: bool,
) -> None:
    """Show rows that NODE (its file, or http://HOST:PORT) stores.

    Event time is the device's own, or, where it said none that can be, the time at which its node stored the
    reading (shown with a ~).

    A node without a parent stores; the others send north and have nothing to ask. Exit 1 without an answer,
    and where some of what is stored cannot be read: the rest is shown, and stderr says what is missing.
    """
    question = Question(
        series=series,
        origin=origin,
        since_ns=since,
        until_ns=until,
        limit=limit,
        order=order,
        revisions=revisions,
        forked=forked,
    )
    if offline:
        from headland.node.offline import rows as read

        data = read(configuration(target), question)
    else:
        given = {
            name: str(value)
            for name in question.__struct_fields__
            if (value := getattr(question, name)) is not None
        }
        data = ask(door_of(target, token_env, ca), "/v1/query", given, offline=True)
    damaged = answer(data, _Damaged).damaged
    if as_json:
        click.echo(data.decode())
        raise SystemExit(bool(damaged))
    rows = answer(data, Rows).rows
    head = ("time", "origin", "series", "kind", "value", "class", "lane", "arrival", "rules")
    click.echo(table(head, list(map(_row, rows))) if rows else "no rows")
    if len(rows) == limit:
        click.echo(f"the first {limit:,}; --limit shows more")
    for one in damaged:
        click.echo(f"headland: not read: {one}", err=True)
    raise SystemExit(bool(damaged))


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    value = row["value"]
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return (
        f"~{moment(row['_node_ns'])}" if row["_by_node"] else moment(row["ts"]),
        row["_origin"],
        row["series"],
        RowKind(row["kind"]).name.lower(),
        text,
        Priority(row["_class"]).name.lower(),
        f"backlog, {row['_lane']} hops" if row["_lane"] else "live",
        row["_arrival"],
        row["_rule_version"] + (" (overlaps)" if row["_overlap"] else ""),
    )
