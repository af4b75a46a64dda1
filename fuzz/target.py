"""What a target is: a decoder, its law, its seeds; and the words in which a law is checked.

A target's `check` takes any bytes. It returns a transcript (what came out, so that two builds can be
compared) or raises: `Breach` where a law does not hold, anything else where the decoder let an exception
through. What a decoder is meant to raise is caught by the target, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import msgspec


class Breach(AssertionError):
    """A law does not hold."""


class Target(msgspec.Struct, frozen=True):
    """A decoder under test.

    Attributes:
        name: Its name, that of its module and of its folder in the corpus.
        law: What holds for any bytes, in a sentence.
        check: Checks the law for one input; returns a transcript.
        seeds: Inputs by name, made by our own encoders: from here mutation begins.
        words: Byte strings that the format gives a meaning to.
        compiled: Whether it runs through modules that may be compiled: then both builds are compared.
        rounds: Mutated inputs that the test suite checks; about a second's worth.
        input_bytes_max: Longest input.
    """

    name: str
    law: str
    check: Callable[[bytes], bytes]
    seeds: Callable[[], dict[str, bytes]]
    words: tuple[bytes, ...] = ()
    compiled: bool = False
    rounds: int = 300
    input_bytes_max: int = 4_096


def hold(condition: bool, story: str) -> None:
    """Raise `Breach` with the story unless the condition holds."""
    if not condition:
        breach(story)


def breach(story: str) -> NoReturn:
    """Raise `Breach`."""
    raise Breach(story)


class Script:
    """Reads an input as a sequence of small decisions; beyond the end everything is 0."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self.data) - self.at

    def byte(self) -> int:
        """The next byte."""
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def chunk(self) -> bytes:
        """The next bytes: two of length, high first, and that many or as many as are there."""
        length = self.byte() << 8 | self.byte()
        taken = self.data[self.at : self.at + length]
        self.at += len(taken)
        return taken

    def chunks(self) -> list[bytes]:
        """Chunks up to the end."""
        found = []
        while self.left > 0:
            found.append(self.chunk())
        return found

    def rest(self) -> bytes:
        """Everything left."""
        taken = self.data[self.at :]
        self.at = len(self.data)
        return taken


def chunk(data: bytes) -> bytes:
    """What `Script.chunk` reads as `data`."""
    return len(data).to_bytes(2, "big") + data


def cuts(data: bytes, how: int) -> list[bytes]:
    """A stream in pieces: of one byte for 0, else of sizes that follow from `how` (1 to 255)."""
    if not how:
        return [data[at : at + 1] for at in range(len(data))]
    pieces, at, size = [], 0, how
    while at < len(data):
        pieces.append(data[at : at + size])
        at += size
        size = 1 + (size * 5 + how) % 97
    return pieces
