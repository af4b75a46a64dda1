"""Event rules as values: which series, when, how urgent, and what to do at once."""

from __future__ import annotations

from math import isfinite
from typing import Literal

import msgspec

from headland.line.filtering.selection import compiled
from headland.vocabulary import ConfigurationError, Priority


class Threshold(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="threshold", kw_only=True
):
    """A number beyond a bound.

    Attributes:
        above: Raise when a number is above this; None = no such bound.
        below: Raise when a number is below this; None = no such bound.
        hysteresis: Clear only when it is back by this much, in the unit of the series.
        for_s: Raise only when it has lasted so long, in seconds of the readings' time.
    """

    above: float | None = None
    below: float | None = None
    hysteresis: float = 0.0
    for_s: float = 0.0

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise ConfigurationError(
                "a threshold without a bound", path="above", hint="set above, below or both"
            )
        require_positive("hysteresis", self.hysteresis)
        require_positive("for_s", self.for_s)


class Rate(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="rate", kw_only=True
):
    """A change per second beyond a bound, between neighbouring readings with time.

    Attributes:
        above_per_s: Raise when it rises faster than this, in units per second; None = no such bound.
        below_per_s: Raise when it falls faster than this (a negative number); None = no such bound.
        for_s: Raise only when it has lasted so long, seconds.
    """

    above_per_s: float | None = None
    below_per_s: float | None = None
    for_s: float = 0.0

    def __post_init__(self) -> None:
        if self.above_per_s is None and self.below_per_s is None:
            raise ConfigurationError("a rate without a bound", path="above_per_s", hint="set a bound")
        require_positive("for_s", self.for_s)


class Silence(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="silence", kw_only=True
):
    """No reading for some time, by this node's clock; counted anew when the node starts.

    Attributes:
        after_s: Raise when nothing came for so long, seconds.
    """

    after_s: float = 60.0

    def __post_init__(self) -> None:
        require_positive("after_s", self.after_s)
        if not self.after_s:
            raise ConfigurationError("after_s must be above 0", path="after_s")


class Expression(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="cel", kw_only=True
):
    """A free condition in CEL (the extra `rules` must be installed).

    Names: `value` (numbers are doubles), `previous` (the value before, or null), `name`, `labels` (map of
    text), `time_s` (seconds since 1970, double), `age_s` (double), `severity` (RFC 5424, -1 = none). A value
    of a type that the expression cannot take makes it false, and is counted.

    Attributes:
        expression: The condition; must give true or false.
        for_s: Raise only when it has lasted so long, seconds.
    """

    expression: str
    for_s: float = 0.0

    def __post_init__(self) -> None:
        require_positive("for_s", self.for_s)
        if not self.expression.strip():
            raise ConfigurationError("an empty expression", path="expression")


Condition = Threshold | Rate | Silence | Expression


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a secret is: exactly one of `file` and `env`. Read each time it is used.

    Attributes:
        file: A file that holds the secret; a newline at its end does not belong to it.
        env: An environment variable that holds the secret.
    """

    file: str = ""
    env: str = ""

    def __post_init__(self) -> None:
        if bool(self.file) == bool(self.env):
            raise ConfigurationError("a secret is either { file = ... } or { env = ... }")


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something to do at once.

    Attributes:
        kind: mqtt (publish on this node's broker), http (POST) or command (run a program, without a shell).
        target: Topic, URL or path of the program. May use `{value}`, `{name}` (`{series}` is the same),
            `{rule}`, `{key}` (names this one actuation), `{label.x}` and captures of `match` and `labels`;
            the host of a URL and the path of a program are written out. In a URL what is put in is
            percent-encoded; a missing label, or a text that is no level of a topic, makes the actuation fail.
        payload: What is published, posted, or given to the program as input; the same words, as they are. A
            missing label is empty.
        arguments: Arguments of a command; the same words.
        authorization: Where the text of the Authorization header is, for http: `{ file = "..." }` or
            `{ env = "..." }`. No user, password or token belongs into a target: rules travel north.
        on: Whether it is done when the event is raised or when it clears.
        limit_s: Given up after so many seconds.
    """

    kind: Literal["mqtt", "http", "command"]
    target: str
    payload: str = "{value}"
    arguments: tuple[str, ...] = ()
    authorization: Reference | None = None
    on: Literal["raise", "clear"] = "raise"
    limit_s: float = 5.0

    def __post_init__(self) -> None:
        require_positive("limit_s", self.limit_s)
        if not self.target:
            raise ConfigurationError("an act without a target", path="target")


class EventRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When to raise an event on a series, and what to do.

    Attributes:
        name: Unique name; on every event, and in actuation keys.
        match: Pattern on the series name (as in filter rules).
        labels: Patterns on labels.
        when: The condition, a table with a `kind`.
        priority: Class of the event's row: critical, high, normal or low.
        act: What to do at once.
        max_age_s: Readings older than this never actuate; their event is marked late. Seconds.
        tell_clear: Whether clearing makes a row too.
    """

    name: str
    when: Condition
    match: str = "**"
    labels: dict[str, str] = {}
    priority: Literal["critical", "high", "normal", "low"] = "high"
    act: tuple[Act, ...] = ()
    max_age_s: float = 10.0
    tell_clear: bool = True

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("an event rule needs a name", path="name")
        require_positive("max_age_s", self.max_age_s)
        compiled(self.match)
        for pattern in self.labels.values():
            compiled(pattern)

    @property
    def urgency(self) -> Priority:
        """The priority as a number."""
        return Priority[self.priority.upper()]


def require_positive(field: str, value: float) -> None:
    """Refuse what is not a finite number of 0 or more."""
    if not (value >= 0 and isfinite(value)):
        raise ConfigurationError(f"{field} must be a finite number of 0 or more, got {value}", path=field)
