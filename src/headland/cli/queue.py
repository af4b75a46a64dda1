"""`headland queue`: what waits for the parent, what was given up, and sending it."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from headland.cli.asking import answer, ask, asks_a_node, door_of, moment, size, span, table
from headland.node.queues import DeadLetter, QueueReport, StreamQueue

CLASSES = ("critical", "high", "normal", "low")


class Dead(msgspec.Struct, frozen=True):
    """What `headland queue dead --json` prints."""

    dead: list[DeadLetter]
    unlisted: int = 0


class Gone(msgspec.Struct, frozen=True):
    """What `headland queue parent-gone --json` prints."""

    parent: str
    blocks: int
    state: str


class Released(msgspec.Struct, frozen=True):
    """What `headland queue release --json` prints."""

    stream: str
    blocks: int
    readings: int
    state: str


@click.group(name="queue")
def command() -> None:
    """Show what waits for the parent of a running node, and send what was given up or is sent on demand."""


@command.command(name="list")
@asks_a_node
def list_(target: str, as_json: bool, ca: Path | None, token_env: str) -> None:
    """Show what waits at NODE, per class and lane, and how far each stream has come."""
    data = ask(door_of(target, token_env, ca), "/v1/queue")
    report = answer(data, QueueReport)
    click.echo(data.decode() if as_json else told(report))


def _k(letter: DeadLetter) -> str:
    return str(letter.k) if letter.blocks == 1 else f"{letter.k} +{letter.blocks - 1}"


@command.command(name="dead")
@asks_a_node
def dead(target: str, as_json: bool, ca: Path | None, token_env: str) -> None:
    """List the dead letters of NODE: what expired, was tried too often, or was rejected by the parent.

    A file that expired unread is one line: its first k and how many blocks follow.
    """
    data = ask(door_of(target, token_env, ca), "/v1/queue/dead")
    listed = answer(data, Dead)
    letters = listed.dead
    if as_json:
        click.echo(data.decode())
        return
    if listed.unlisted:
        click.echo(f"{listed.unlisted:,} blocks had to make room, or went with their file")
    if not letters:
        click.echo("no dead letters")
    else:
        rows = [
            (one.number, one.origin, one.row_class, _k(one), one.readings, size(one.bytes), one.reason,
             moment(one.ts_min), moment(one.ts_max))
            for one in letters
        ]  # fmt: skip
        click.echo(
            table(("number", "origin", "class", "k", "readings", "bytes", "reason", "from", "to"), rows)
        )


@command.command(name="resend")
@asks_a_node
@click.argument("number", type=click.IntRange(1))
def resend(target: str, as_json: bool, ca: Path | None, token_env: str, number: int) -> None:
    """Send dead letter NUMBER of NODE again: same identity, new position. Exit 1 when it is not listed."""
    data = ask(door_of(target, token_env, ca), "/v1/queue/resend", {"number": str(number)}, method="POST")
    click.echo(data.decode() if as_json else f"dead letter {number} waits again")


@command.command(name="release")
@asks_a_node
@click.argument("stream")
@click.option(
    "--dead", is_flag=True, help="Make dead letters of what it holds, in place of sending it again."
)
def release(target: str, as_json: bool, ca: Path | None, token_env: str, stream: str, dead: bool) -> None:
    """Let STREAM of NODE go on, which stopped because the parent knows other blocks at its positions.

    `headland queue list` names it and says why. What it holds without an answer is sent again, each block
    with its identity: a node that stores takes it once, and keeps one of two that differ beside. With --dead
    it is kept here instead, as dead letters. The stream goes on where the parent stands. Exit 1 when that
    cannot be done now.
    """
    given = {"stream": stream, "as": "dead" if dead else "waiting"}
    data = ask(door_of(target, token_env, ca), "/v1/queue/release", given, method="POST")
    if as_json:
        click.echo(data.decode())
        return
    done = answer(data, Released)
    click.echo(f"{stream} goes on; {done.blocks:,} blocks, {done.readings:,} readings: {done.state}")


@command.command(name="parent-gone")
@asks_a_node
@click.option("--yes", is_flag=True, help="It will not come back: needed, for this cannot be taken back.")
def parent_gone(target: str, as_json: bool, ca: Path | None, token_env: str, yes: bool) -> None:
    """Tell NODE that its parent is gone for good, and everything with it that it did not pass on.

    Blocks that it may have are neither expired nor given up nor buried while it may come back; from now on
    they count as unsent. While the link is up this is said of earlier parents only. If a parent comes back
    that has such blocks after all, streams of which blocks were given up meanwhile stop. Exit 1 when no
    block is of unknown outcome.
    """
    if not yes:
        raise click.UsageError("this cannot be taken back: say --yes")
    data = ask(door_of(target, token_env, ca), "/v1/queue/parent-gone", method="POST")
    if as_json:
        click.echo(data.decode())
        return
    done = answer(data, Gone)
    click.echo(f"{done.parent} is gone: {done.blocks:,} blocks that it may have count as unsent")


@command.command(name="demand")
@asks_a_node
@click.argument("row_class", metavar="CLASS", type=click.Choice(CLASSES))
def demand(target: str, as_json: bool, ca: Path | None, token_env: str, row_class: str) -> None:
    """Seal what class CLASS of NODE has, and send it (for classes that are sent on demand)."""
    data = ask(door_of(target, token_env, ca), "/v1/queue/demand", {"class": row_class}, method="POST")
    click.echo(data.decode() if as_json else f"class {row_class} is sealed and may leave")


def told(report: QueueReport) -> str:
    """For people."""
    if report.link == "none":
        return "this node sends to nobody: it has no queue"
    waiting = [
        (one.row_class, one.lane, one.blocks, one.readings, size(one.bytes),
         "-" if one.oldest_s is None else span(one.oldest_s), one.later, one.in_files, one.tombstones)
        for one in report.lanes
        if one.blocks or one.tombstones
    ]  # fmt: skip
    head = ("class", "lane", "blocks", "readings", "bytes", "oldest", "later", "in files", "tombstones")
    streams = [
        (one.epoch[:8], one.row_class, one.lane, one.sealed, one.sent, one.confirmed, one.noted)
        for one in report.streams
    ]
    unsealed = ", ".join(f"{count:,} {name}" for name, count in report.unsealed.items() if count)
    lines = [
        (
            f"parent {report.parent or 'never reached'}, link {report.link}, {report.dead:,} dead letters, "
            f"{size(report.file_bytes)} in files"
        ),
        table(head, waiting) if waiting else "nothing waits in blocks",
    ]
    if unsealed:
        lines.append(f"not in a block yet: {unsealed}")
    if streams:
        lines.append(table(("epoch", "class", "lane", "sealed", "sent", "confirmed", "noted"), streams))
    lines += [_stopped(one) for one in report.streams if one.stopped]
    lines += [f"parked: the parent does not accept {origin}" for origin in report.parked]
    return "\n\n".join(lines)


def _stopped(one: StreamQueue) -> str:
    """Why a stream stands still, and the way out."""
    name = f"{one.epoch[:8]}/{one.row_class}/{one.lane}"
    held = one.sealed - one.confirmed
    return (
        f"stopped: {name} keeps {held:,} positions here ({one.stopped})\n"
        f"`headland queue release NODE {name}` sends them again; with --dead they become dead letters"
    )
