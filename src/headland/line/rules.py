"""What the line is told to do: rules as values, with a version that is the digest of their canonical text."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

import msgspec

from headland.line.deciding.rules import EventRule
from headland.line.filtering import DeadBand, FilterKind
from headland.line.filtering.selection import compiled, overlap
from headland.vocabulary import ConfigurationError, Priority


class SeriesRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens to the readings of some series.

    Rules are tried in order; a series takes every rule that fits, up to and with the first that is `final`.
    Of several verdicts on one reading kept beats held, and held beats dropped. All rows of a series go in one
    class, the most urgent of its rules, so that its order is never split.

    Attributes:
        name: Unique name; appears in the ledger and on every row that the rule derives.
        match: Pattern on the series name (`*` within a segment, `**` anything, `{word}` captures a segment).
        labels: Patterns on labels; each named label must be present and fit.
        filter: What is kept; every filter is a table of its own with a `kind`.
        priority: Class of the rows that go north: critical, high, normal or low.
        group: Series group in the ledger; may use `{name}`, `{rule}`, `{label.x}` and captures. Empty = the
            rule's name. Keep the number of groups small: every commit names those that it touched.
        retain: What also stays on this node: none (warm storage comes with its own room).
        durability: durable (an acknowledgement means on disk) or volatile (held rows stay in memory, and an
            acknowledgement means received; the promise begins with the derived row).
        final: Whether later rules are not tried for a series that this one fits.
    """

    name: str
    match: str = "**"
    labels: dict[str, str] = {}
    filter: FilterKind = msgspec.field(default_factory=DeadBand)
    priority: Literal["critical", "high", "normal", "low"] = "normal"
    group: str = ""
    retain: Literal["none"] = "none"
    durability: Literal["durable", "volatile"] = "durable"
    final: bool = True

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("a rule needs a name", path="name")
        compiled(self.match)
        for pattern in self.labels.values():
            compiled(pattern)

    @property
    def urgency(self) -> Priority:
        """The priority as a number."""
        return Priority[self.priority.upper()]

    @property
    def version(self) -> str:
        """Digest of this rule alone, 12 hex digits."""
        return digest_of(self)


class LineRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything the line is told.

    Attributes:
        series: Filter rules in order. A series that none fits takes the rule `default`.
        default: The rule of all other series: the published dead band of 5 %.
        events: Rules that raise events and act; all that fit apply.
    """

    series: tuple[SeriesRule, ...] = ()
    default: SeriesRule = msgspec.field(default_factory=lambda: SeriesRule(name="default"))
    events: tuple[EventRule, ...] = ()

    def __post_init__(self) -> None:
        names = [rule.name for rule in (*self.series, self.default)] + [rule.name for rule in self.events]
        for name in names:
            if names.count(name) > 1:
                raise ConfigurationError(f"two rules are named {name!r}", path="series", hint="rename one")

    @property
    def version(self) -> str:
        """Digest of all rules, 12 hex digits."""
        return digest_of(self)

    @property
    def volatile(self) -> tuple[SeriesRule, ...]:
        """Rules whose series are volatile by name."""
        return tuple(rule for rule in (*self.series, self.default) if rule.durability == "volatile")

    def warnings(self) -> list[str]:
        """What is allowed and probably not meant."""
        said = [
            f"rule {rule.name!r}: a critical series is volatile; what it holds is lost in a crash"
            for rule in self.volatile
            if rule.priority == "critical"
        ]
        return said + [
            f"rule {event.name!r} is critical and judges series that rule {rule.name!r} makes volatile; "
            "what they hold is lost in a crash"
            for event in self.events
            for rule in self.volatile
            if event.priority == "critical" and _share(event, rule)
        ]

    def canonical(self) -> bytes:
        """The rules as canonical JSON."""
        return canonical(self)


def _share(event: EventRule, rule: SeriesRule) -> bool:
    """Whether both may be about one series."""
    return overlap(event.match, rule.match) and all(
        overlap(pattern, rule.labels[label])
        for label, pattern in event.labels.items()
        if label in rule.labels
    )


def told(rules: LineRules, previous: str, kept: list[int]) -> bytes:
    """Value of the row that says north which rules came into force: msgpack {version, previous, kept, rules}.

    Args:
        rules: Those in force from here on.
        previous: Version of those before, "" for none.
        kept: Rows of each class that stand before it in its commit: they were judged by the rules before.

    Of addresses that are posted to only server and path travel: a query may hold what lets somebody in.
    """
    text = canonical(msgspec.structs.replace(rules, events=tuple(map(_shown, rules.events)))).decode()
    return msgspec.msgpack.encode(
        {"version": rules.version, "previous": previous, "kept": kept, "rules": text}
    )


def _shown(rule: EventRule) -> EventRule:
    acts = tuple(
        msgspec.structs.replace(act, target=_without_secrets(act.target)) if act.kind == "http" else act
        for act in rule.act
    )
    return msgspec.structs.replace(rule, act=acts)


def _without_secrets(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    rest, asks, _ = rest.partition("?")
    server, slash, path = rest.partition("/")
    return f"{scheme}{mark}{server.rpartition('@')[2]}{slash}{path}{'?...' if asks else ''}"


def canonical(value: msgspec.Struct) -> bytes:
    """Deterministic JSON of a value with every default written out; 10 and 10.0 are the same number."""
    text = msgspec.json.encode(value)
    return msgspec.json.encode(msgspec.json.decode(text, type=type(value)), order="deterministic")


def digest_of(value: msgspec.Struct) -> str:
    """First 12 hex digits of the BLAKE2b digest of the canonical text."""
    return blake2b(canonical(value), digest_size=6).hexdigest()
