"""`headland intent`: configuration for a child, from its parent."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from headland.cli.asking import Door, answer, ask, asks_a_node, door_of, plain, table, text_of_file
from headland.node.south import ChildReport, WantedIntent

KIND = "config"
LOOK_S = 0.1


class Listed(msgspec.Struct, frozen=True):
    """What `headland intent list --json` prints."""

    children: list[ChildReport]


class Pushed(msgspec.Struct, frozen=True):
    """What `headland intent push --json` prints; `state` is "" when the child has not answered in time."""

    child: str
    kind: str
    version: int
    state: str
    detail: str


class Accepted(msgspec.Struct, frozen=True):
    """A parent's answer."""

    child: str
    kind: str
    version: int


@click.group(name="intent")
def command() -> None:
    """Want a configuration in force at a child of a running node, and see what became of it."""


@command.command(name="list")
@asks_a_node
def list_(target: str, as_json: bool, ca: Path | None, token_env: str) -> None:
    """Show the children of NODE, what is wanted of each, and what it said."""
    data = ask(door_of(target, token_env, ca), "/v1/children")
    children = answer(data, Listed).children
    if as_json:
        click.echo(data.decode())
        return
    nothing = WantedIntent(kind="-", desired=0, reported=0, state="", detail="")
    rows = [
        (one.name, "connected" if one.connected else "away", intent.kind, intent.desired, intent.reported,
         intent.state or "-", intent.detail)
        for one in children
        for intent in one.intents or [nothing]
    ]  # fmt: skip
    head = ("child", "link", "kind", "desired", "reported", "state", "detail")
    click.echo(table(head, rows) if rows else "no child has ever called")


@command.command(name="push")
@asks_a_node
@click.argument("child", metavar="SITE/NAME")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 3600),
    default=10.0,
    show_default=True,
    help="How long to wait for the child's word, seconds.",
)
def push(
    target: str, as_json: bool, ca: Path | None, token_env: str, child: str, file: str, wait_s: float
) -> None:
    """Want the TOML of FILE in force at child SITE/NAME of NODE, laid over the child's own file.

    Sections that may stand in it: those that change while a node runs (mapping, series, default, rule,
    classes, formats, disk, ledger, decide.budget_ms). An empty file goes back to the child's own. It is
    durable at the parent, and is sent until the child has applied it. Exit 0 when the child has, 1 when it
    refuses or has not answered yet.
    """
    body = text_of_file(file)
    door = door_of(target, token_env, ca)
    path = f"/v1/children/{child}/intents/{KIND}"
    accepted = answer(ask(door, path, method="POST", body=body), Accepted)
    said = _wait(door, child, accepted.version, wait_s)
    pushed = Pushed(child, KIND, accepted.version, said.state, said.detail)
    if as_json:
        click.echo(msgspec.json.encode(pushed).decode())
    elif pushed.state:
        detail = f" ({plain(pushed.detail)})" if pushed.detail else ""
        click.echo(f"version {pushed.version} at {child}: {pushed.state}{detail}")
    else:
        click.echo(f"version {pushed.version} waits for {child}, which has not answered")
    raise SystemExit(0 if pushed.state == "applied" else 1)


def _wait(door: Door, child: str, version: int, wait_s: float) -> WantedIntent:
    until = time.monotonic() + wait_s
    while True:
        for one in answer(ask(door, "/v1/children"), Listed).children:
            for intent in one.intents:
                if (one.name, intent.kind) == (child, KIND) and intent.reported >= version and intent.state:
                    return intent
        if time.monotonic() >= until:
            return WantedIntent(kind=KIND, desired=version, reported=0, state="", detail="")
        time.sleep(LOOK_S)
