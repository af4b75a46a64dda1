"""What a watcher of the demo sees: a picture on a terminal, a line every few seconds elsewhere.

Everything goes to stderr. The picture uses two control sequences only (cursor up, clear to the end of the
screen).
"""

from __future__ import annotations

import os
import time
from typing import TextIO

import msgspec

PLAIN_EVERY_S = 5.0
WIDTH = 100


class NodeView(msgspec.Struct):
    """One node at one moment.

    Attributes:
        name, tier, parent: Where it stands.
        state: A word: running, killed, starting, ended.
        link: State of its link to the parent in one word, "" for the root.
        offered, kept, dropped: Readings of its own sources, since its data directory is new.
        waiting: Readings kept or relayed that the parent has not committed yet.
        balanced: Whether its books balance; None when it does not answer.
    """

    name: str
    tier: str
    parent: str
    state: str = "starting"
    link: str = ""
    offered: int = 0
    kept: int = 0
    dropped: int = 0
    waiting: int = 0
    balanced: bool | None = None


class Picture(msgspec.Struct):
    """The whole demo at one moment.

    Attributes:
        elapsed_s: Since the devices began.
        phase: What is going on, in a few words.
        nodes: Root first.
        acked: Readings acknowledged to clients.
        bytes_offered: Payload bytes of all sources.
        bytes_north: Bytes on the links to the regional node.
    """

    elapsed_s: float = 0.0
    phase: str = "starting"
    nodes: list[NodeView] = []
    acked: int = 0
    bytes_offered: int = 0
    bytes_north: int = 0


class View:
    """Shows pictures and says sentences on a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._painted = 0
        self._last_plain = -PLAIN_EVERY_S

    def show(self, picture: Picture) -> None:
        """Repaint, or print a line when one is due."""
        if self._live:
            lines = paint(picture)
            self._write(f"\x1b[{self._painted}A" if self._painted else "")
            self._write("\x1b[J" + "\n".join(line[:WIDTH] for line in lines) + "\n")
            self._painted = len(lines)
        elif time.monotonic() - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = time.monotonic()
            self._write(one_line(picture) + "\n")

    def say(self, text: str) -> None:
        """A sentence that stays."""
        if self._painted:
            self._write(f"\x1b[{self._painted}A\x1b[J")
            self._painted = 0
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def paint(picture: Picture) -> list[str]:
    """The picture as lines: the tree with what flows, what waits, what is saved."""
    lines = [f" {picture.elapsed_s:5.1f} s  {picture.phase}", ""]
    lines.append(
        f" {'node':24} {'state':9} {'link':10} {'offered':>9} {'north':>9} {'dropped':>9} {'waiting':>9} "
        "books"
    )
    for node in picture.nodes:
        name = "  " * _depth(node, picture.nodes) + node.name
        books = {True: "=", False: "WRONG", None: "?"}[node.balanced]
        lines.append(
            f" {name:24} {node.state:9} {node.link:10} {node.offered:>9,} {node.kept:>9,} {node.dropped:>9,} "
            f"{node.waiting:>9,} {books}"
        )
    lines.append("")
    lines.append(f" {_totals(picture)}")
    return lines


def one_line(picture: Picture) -> str:
    """The picture as one line, for logs and pipes."""
    waiting = sum(node.waiting for node in picture.nodes)
    down = [f"{node.name} {node.state}" for node in picture.nodes if node.state != "running"]
    text = f"{picture.elapsed_s:6.1f} s  {_totals(picture)}  waiting {waiting:,}  {picture.phase}"
    return text + (f"  [{', '.join(down)}]" if down else "")


def saved(offered: int, north: int) -> float:
    """Share of the bytes that did not have to travel; 0 while nothing is known."""
    return max(0.0, 1 - north / offered) if offered else 0.0


def _totals(picture: Picture) -> str:
    return (
        f"acknowledged {picture.acked:,}  offered {size(picture.bytes_offered)}  "
        f"north {size(picture.bytes_north)}  "
        f"saved {saved(picture.bytes_offered, picture.bytes_north):.0%}"
    )


def _depth(node: NodeView, nodes: list[NodeView]) -> int:
    parents = {one.name: one.parent for one in nodes}
    depth, name = 0, node.parent
    while name:
        depth, name = depth + 1, parents.get(name, "")
    return depth


def size(count: float) -> str:
    """Bytes for people: powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
