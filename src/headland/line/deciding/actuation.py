"""What a rule wants done at once."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal
from urllib.parse import quote

import msgspec

from headland.line.deciding.rules import Reference
from headland.vocabulary import Priority

PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
"""Where the program of a command is looked for if its directory is not given; its PATH."""


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
        """One word of ASCII, for a header, a user property, an environment: names are percent-encoded."""
        moment = f"{'s' if self.sequenced else 't'}{self.moment}"
        return f"{quote(self.rule, safe='')}:{quote(self.series)}:{moment}"


class Outcome(StrEnum):
    """What became of an actuation; each is counted by rule."""

    DONE = "done"
    """The broker took it, the server answered 2xx, the program ended with 0."""
    FAILED = "failed"
    """It was tried, or could not be: its target could not be filled in."""
    LATE = "late"
    """Its reading had become older than `max_age_s` before its turn came: not done."""
    DROPPED = "dropped"
    """Too many waited for its target: not done."""


class Actuation(msgspec.Struct, frozen=True):
    """One thing to do, at least once while the reading is young.

    Attributes:
        kind: mqtt (publish on this node's broker), http (a POST) or command (a program, without a shell).
        target: Topic, URL, or the program's path.
        payload: Body, message, or standard input of the program.
        key: Identity of this actuation.
        limit_s: Given up after so many seconds.
        arguments: Arguments of a command.
        authorization: Where the text of the Authorization header is, or None.
        sid: The series.
        urgency: The rule's class: the more urgent is done first.
        not_after_ns: Monotonic time after which it must not begin: the reading is too old then.
        unfit: Why it must not be done at all, or "".
    """

    kind: Literal["mqtt", "http", "command"]
    target: str
    payload: bytes
    key: ActuationKey
    limit_s: float
    arguments: tuple[str, ...] = ()
    authorization: Reference | None = None
    sid: int = 0
    urgency: Priority = Priority.HIGH
    not_after_ns: int = (1 << 63) - 1
    unfit: str = ""
