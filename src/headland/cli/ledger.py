"""`headland ledger`: where every reading and every byte is."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from headland.cli.asking import answer, ask, asks_a_node, configuration, door_of, moment, size, table
from headland.node.status import Books, Equation
from headland.vocabulary import RowClass


@click.command(name="ledger")
@asks_a_node
@click.option("--hours", is_flag=True, help="Show the totals of every hour, too.")
@click.option("--offline", is_flag=True, help="Read the data directory of a node that does not run.")
def command(target: str, as_json: bool, ca: Path | None, token_env: str, hours: bool, offline: bool) -> None:
    """Show the books of NODE (its file, or http://HOST:PORT): accounts, equations, flows, bytes and cost.

    Exit 0 if they balance, 1 if not or if the node does not answer, 2 for a wrong command or file.
    """
    if offline:
        from headland.node.offline import books as read

        books = read(configuration(target), hours=hours)
        data = msgspec.json.encode(books)
    else:
        asked = {"hours": "1"} if hours else None
        data = ask(door_of(target, token_env, ca), "/v1/ledger", asked, offline=True)
        books = answer(data, Books)
    click.echo(data.decode() if as_json else told(books))
    raise SystemExit(0 if books.balanced else 1)


def told(books: Books) -> str:
    """For people."""
    accounts = [(name, one.readings, size(one.bytes)) for name, one in books.accounts.items()]
    flows = [
        (account, group or "-", _class(cls), rule or "-", readings, size(count))
        for account, group, cls, rule, readings, count in books.flows
        if readings or count
    ]
    parts = [
        table(("account", "readings", "bytes"), accounts),
        "\n".join(map(_equation, books.equations)),
        table(("account", "group", "class", "rule", "readings", "bytes"), flows),
        (
            f"payload saved {books.reduction:.1%}; sent north {size(books.wire_bytes_north)} so far "
            f"({books.cost:.2f} {books.currency}), {books.cost_per_month:.2f} {books.currency} a month "
            f"at the rate of {books.cost_hours:.1f} h"
        ),
    ]
    if books.hours is not None:
        hours = [
            (moment(at)[:13] + "h", account, group or "-", _class(cls), rule or "-", readings, size(count))
            for at, account, group, cls, rule, readings, count in books.hours
        ]
        parts.append(table(("hour", "account", "group", "class", "rule", "readings", "bytes"), hours))
    parts += [f"WRONG: {one}" for one in books.failures]
    parts.append("the books balance" if books.balanced else "THE BOOKS DO NOT BALANCE")
    return "\n\n".join(parts)


def _equation(one: Equation) -> str:
    sign = "=" if one.left_sum == one.right_sum else "IS NOT"
    left, right = (" + ".join(f"{name} {amount.readings:,}" for name, amount in side.items()) or "0"
                   for side in (one.left, one.right))  # fmt: skip
    return (
        f"{one.name}: {left} {sign} {right}\n"
        f"       {one.left_sum.readings:,} {sign} {one.right_sum.readings:,} readings, "
        f"{one.left_sum.bytes:,} {sign} {one.right_sum.bytes:,} bytes"
    )


def _class(number: int) -> str:
    return RowClass(number).name.lower() if number in set(RowClass) else str(number)
