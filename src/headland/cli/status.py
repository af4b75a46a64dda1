"""`headland status`: one look at a running node."""

from __future__ import annotations

from pathlib import Path

import click

from headland.cli.asking import answer, ask, asks_a_node, door_of, moment, plain, size, span
from headland.line.stages import FORWARD
from headland.node.certificate import DAY_S, WARN_DAYS
from headland.node.certificate import told as certificate_told
from headland.node.status import Status

ALARMS_SHOWN = 5
RULES_SHOWN = 20


@click.command(name="status")
@asks_a_node
def command(target: str, as_json: bool, ca: Path | None, token_env: str) -> None:
    """Say how the running node NODE is (its file, or http://HOST:PORT).

    Exit 0 if it is healthy, takes readings in and its books balance; 1 if not or if it does not answer; 2 for
    a wrong command or file.
    """
    data = ask(door_of(target, token_env, ca), "/v1/status")
    status = answer(data, Status)
    click.echo(data.decode() if as_json else told(status))
    raise SystemExit(0 if status.healthy and status.balanced and not status.refusing else 1)


def _causes(status: Status) -> str:
    causes = status.stages.get("decide", {}).get("causes", {})
    said = ", ".join(f"{cause} {count:,}" for cause, count in causes.items())
    return f" ({said})" if said else ""


def _forwarded(status: Status) -> list[str]:
    """How long each class's blocks took to be answered by the parent, where any was."""
    lines = []
    for name in FORWARD:
        stage = status.stages.get(name, {})
        if stage.get("count"):
            lines.append(
                f"{name.removeprefix('forward_'):<8} {stage['count']:,} blocks answered, "
                f"p50 {stage['p50']:.1f} ms, p99 {stage['p99']:.1f} ms, max {stage['max']:.1f} ms, "
                f"{stage['misses']:,} later than {stage['budget_ms'] / 1000:g} s"
            )
    return lines


def told(status: Status) -> str:
    """For people."""
    health = "healthy" if status.healthy else "UNHEALTHY"
    decide, config = status.decide, status.config
    lines = [
        f"{status.name}  {status.tier}  {health}  running {span(status.running_s)}  link {status.link}",
        f"books    {'balanced' if status.balanced else 'DO NOT BALANCE'}, commit {status.durable_n:,}",
        f"waits    {status.pending_readings:,} readings, of them {status.unsealed_rows:,} unsealed",
        f"disk     journal {size(status.journal_bytes)}, files {size(status.file_bytes)}"
        + (", FULL" if status.disk_full else ""),
        (
            f"decides  {decide.count:,} readings, p50 {decide.p50_ms:.3f} ms, p99 {decide.p99_ms:.3f} ms, "
            f"max {decide.max_ms:.3f} ms, {decide.misses:,} too late{_causes(status)}"
        ),
        f"north    {size(status.wire_bytes_north)} sent",
        *_forwarded(status),
        f"rules    {config.rules_version}, file {config.digest[:12] or 'none'}",
    ]
    if status.link_trouble:
        lines.insert(1, f"LINK     {plain(status.link_trouble)}")
    if status.certificate_s_left is not None and status.certificate_s_left < WARN_DAYS * DAY_S:
        lines.append(f"TRUST    {certificate_told(status.certificate_s_left)}")
    if status.refusing:
        lines.append(f"REFUSES  {plain(status.refusing)}: nothing more is taken in")
    lines += [
        f"acts     {plain(rule)}: {acts.wanted:,} wanted, {acts.done:,} done, {acts.failed:,} failed, "
        f"{acts.late:,} too late, {acts.dropped:,} dropped"
        for rule, acts in list(status.actuations.items())[:RULES_SHOWN]
    ]
    if status.volatile.rules:
        named = ", ".join(map(plain, status.volatile.rules))
        lines.append(
            f"volatile {status.volatile.count:,} series (rules {named}): acknowledged is received, not stored"
        )
    if config.intent != "none":
        detail = f" ({plain(config.intent_detail)})" if config.intent_detail else ""
        lines.append(
            f"intent   version {config.intent_version} in force before; newest: {config.intent}{detail}"
        )
    if config.refused:
        lines.append(f"REFUSED  the newest file is not in force: {plain(config.refused)}")
    if config.restart:
        lines.append(f"restart  needed for {', '.join(config.restart)}")
    if status.children:
        lines.append(f"children {', '.join(status.children)}")
    lines += [
        f"alarm    {moment(at)} {kind}: {plain(detail)}" for at, kind, detail in status.alarms[-ALARMS_SHOWN:]
    ]
    return "\n".join(lines)
