"""What a rule wants done at once."""

from __future__ import annotations

from typing import Literal

import msgspec


class ActuationKey(msgspec.Struct, frozen=True):
    """What makes a repeated actuation recognisable to an actuator.

    Attributes:
        rule: The rule's name.
        series: The series' name.
        moment: Device time (ns UTC), or the declared sequence where `sequenced`, or node time.
        sequenced: Whether `moment` is a sequence.
    """

    rule: str
    series: str
    moment: int
    sequenced: bool = False

    def text(self) -> str:
        """One printable word, for an idempotency header or an MQTT user property."""
        return f"{self.rule}:{self.series}:{'s' if self.sequenced else 't'}{self.moment}"


class Actuation(msgspec.Struct, frozen=True):
    """One thing to do, at least once while the reading is young.

    Attributes:
        kind: mqtt (publish on this node's broker), http (a POST) or command (a program, without a shell).
        target: Topic, URL, or the program's path.
        payload: Body, message, or standard input of the program.
        key: Identity of this actuation.
        limit_s: Given up after so many seconds.
        arguments: Arguments of a command.
    """

    kind: Literal["mqtt", "http", "command"]
    target: str
    payload: bytes
    key: ActuationKey
    limit_s: float
    arguments: tuple[str, ...] = ()
