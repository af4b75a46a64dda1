"""What is known about one topic: how to read it, how to name what it brings, and a shortcut.

A plan starts without a shortcut. After a payload was read in full, the reader may state its shape; the
shortcut is a typed decoder that accepts exactly the payloads for which the full reading would give the same
result, and anything it refuses is read in full. So the shortcut never decides, it only saves time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from headland.line.formats.config import Format, FormatLimits, MappingConfig, TimeUnit
from headland.line.formats.documents import DocumentReader, LeafShape, Shape
from headland.line.formats.found import series_key
from headland.line.formats.moments import scale_ns, unit_of
from headland.line.formats.paths import Template, compile_template
from headland.line.formats.rejection import RejectReason, Unfit
from headland.line.formats.topics import TopicTemplate, compile_topic
from headland.vocabulary import SERIES_CAP, ConfigurationError, SeriesKey, SeriesTable, Value

_SHAPES_KEPT: Final = 512
_MISSES: Final = 32
_WORD_BYTES: Final = 32
_WORDS_KEPT: Final = 64
_NAMES_KEPT: Final = 20_000
"""Names of one topic whose ids are remembered; all go at once."""
_Int64 = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Number = _Int64 | float
_JSON_LIKE: Final = frozenset({Format.AUTO, Format.PLAIN, Format.JSON})


class Compiled:
    """One mapping, compiled: shared by the plans of all topics that it matches.

    Raises:
        ConfigurationError: A topic, path or template is wrong; the error's path is ``mapping[i].key``.
    """

    def __init__(self, config: MappingConfig, limits: FormatLimits, where: str) -> None:
        self.config = config
        self.format = config.format
        self.topic: TopicTemplate = compile_topic(config.topic, where=f"{where}.topic")
        known = frozenset(self.topic.names) | {"topic"}
        self._name = compile_template(config.series or "{topic}", known, where=f"{where}.series")
        if "unit" in config.labels and config.unit:
            raise ConfigurationError("given twice", path=f"{where}.labels.unit", hint="keep `unit` only")
        labels = {
            label: compile_template(text, known, where=f"{where}.labels")
            for label, text in config.labels.items()
        }
        used = self._name.placeholders.union(*(template.placeholders for template in labels.values()))
        for name in self.topic.names:
            if name not in used:
                labels.setdefault(name, compile_template(f"{{{name}}}", known, where=where))
        if config.unit:
            labels["unit"] = Template((config.unit,))
        self._labels = labels
        if config.format not in _JSON_LIKE and (config.value or config.values or config.array or config.time):
            raise ConfigurationError(
                f"JSON paths mean nothing to format {str(config.format)!r}",
                path=where,
                hint='use format = "json"',
            )
        self.reader = DocumentReader(config, limits, (self._name, *labels.values()), where)

    def bind(self, topic: str) -> tuple[Template, dict[str, Template]] | None:
        """Name and labels with the topic's placeholders filled in, or None if the topic does not match."""
        found = self.topic.match(topic)
        if found is None:
            return None
        found["topic"] = topic
        return self._name.bind(found), {
            label: template.bind(found) for label, template in self._labels.items()
        }


class Plan:
    """How payloads of one topic are read.

    Attributes:
        decode: The shortcut, or None: bytes to a value, to a struct with `value` and `time`, or to a dict.
        timed: What `decode` gives. 0: the bare value. 1: a struct without time. 2: a struct with time. 3: a
            struct with time in text. 4: a dict of leaves.
        sid: Series of the shortcut's value.
        keys: Keys that the dict must have, in order.
        sids: Series of its values, without the time.
        time_at: Index of the time in it, or -1.
        words: Short payloads whose value is known.
        low: Smallest time that the shortcut may read (inclusive), in its unit.
        high: First time that it may not.
        scale: Nanoseconds of its unit.
        missed: Payloads in a row that the shortcut refused; at 32 it is taken away and learnt anew.
    """

    __slots__ = (
        "_ids",
        "_labels",
        "_limits",
        "_looks",
        "_name",
        "compiled",
        "decode",
        "high",
        "keys",
        "low",
        "missed",
        "scale",
        "sid",
        "sids",
        "time_at",
        "timed",
        "topic",
        "words",
    )

    def __init__(
        self,
        topic: str,
        compiled: Compiled,
        name: Template,
        labels: dict[str, Template],
        limits: FormatLimits,
    ) -> None:
        self.topic = topic
        self.compiled = compiled
        self.decode: Callable[[bytes], Any] | None = None
        self.timed = 0
        self.sid = 0
        self.low = self.high = 0
        self.scale = 1
        self.missed = 0
        self.keys: tuple[str, ...] = ()
        self.sids: list[int] = []
        self.time_at = -1
        self.words: dict[bytes, Value] = {}
        self._looks = 0
        self._name = name
        self._labels = labels
        self._limits = limits
        self._ids: dict[Hashable, int] = {}

    def numbers(self, names: list[Hashable], table: SeriesTable) -> list[int]:
        """The series ids of what a decoder called `names`; nothing is numbered unless all can be.

        Raises:
            Unfit: A name is not acceptable, or the table is full.
        """
        ids = self._ids
        try:
            return [ids[name] for name in names]
        except KeyError:
            pass
        new = {name: self._key(name) for name in names if name not in ids}
        if len(table) + len(new) > SERIES_CAP and any(table.find(key) == 0 for key in new.values()):
            raise Unfit(RejectReason.SERIES_LIMIT, f"this node numbers at most {SERIES_CAP} series")
        if len(ids) + len(new) > _NAMES_KEPT:
            ids.clear()
            new = {name: self._key(name) for name in names}
        for name, key in new.items():
            ids[name] = table.intern(key)
        return [ids[name] for name in names]

    def label_texts(self) -> dict[str, str]:
        """Labels that do not depend on the payload."""
        return {
            label: template.literal for label, template in self._labels.items() if not template.needs_payload
        }

    def learn(self, shape: Shape | LeafShape, root: Any, sids: list[int], shapes: Shapes) -> None:
        """Take a shortcut for payloads shaped like `root`, which gave `sids`."""
        self.missed = 0
        if isinstance(shape, LeafShape):
            self.keys, self.sids, self.time_at = shape.keys, sids, shape.time
            if shape.time >= 0:
                self._learn_time(shape.keys[shape.time], root)
            self.decode, self.timed = shapes.leaves, 4
            return
        self.sid = sids[0]
        if shape.value is None:
            self.decode, self.timed = shapes.scalar, 0
            return
        if shape.time is None:
            self.timed = 1
        elif shape.text_time:
            self.timed = 3
        else:
            self.timed = 2
            self._learn_time(shape.time, root)
        self.decode = shapes.of(shape)

    def worth_a_look(self) -> bool:
        """Whether to look for a shape: while there is none, the first eight times and then every 64th."""
        if self.decode is not None and self.missed <= 1:
            return False
        self._looks += 1
        return self._looks <= 8 or self._looks % 64 == 0

    def learn_word(self, payload: bytes, value: Value, sid: int) -> None:
        """Remember what a short payload means (64 of them)."""
        if len(payload) > _WORD_BYTES:
            return
        if len(self.words) < _WORDS_KEPT:
            self.words[payload] = value
        if self.decode is None:
            self.missed = 0
            self.sid = sid
            self.decode, self.timed = self.words.__getitem__, 0

    def _learn_time(self, key: str, root: Any) -> None:
        unit = self.compiled.config.time_unit
        if unit is TimeUnit.AUTO or unit is TimeUnit.RFC3339:
            unit = unit_of(root[key])
            self.low, self.high = _RANGE[unit]
            if self.compiled.config.time == "" and key in ("time", "t"):
                self.low = max(self.low, 10**8)
        else:
            self.low, self.high = 0, 92 * 10**17 // scale_ns(unit)
        self.scale = scale_ns(unit)

    def _key(self, name: Hashable) -> SeriesKey:
        if isinstance(name, SeriesKey):
            return name
        fields: dict[str, str] = {}
        if isinstance(name, tuple):
            texts, leaf = name
            fields = {
                field.text: text
                for field, text in zip(self.compiled.reader.payload_fields, texts, strict=True)
            }
        else:
            leaf = name
        base = _filled(self._name, fields)
        labels = {label: _filled(template, fields) for label, template in self._labels.items()}
        return series_key(f"{base}/{leaf}" if leaf else base, labels, self._limits)


class Shapes:
    """Typed decoders by shape, shared by all topics; the oldest of 512 goes."""

    def __init__(self) -> None:
        self.scalar: Callable[[bytes], Any] = msgspec.json.Decoder(_Number).decode
        self.leaves: Callable[[bytes], Any] = msgspec.json.Decoder(dict[str, _Number | bool]).decode
        self._known: dict[Shape, Callable[[bytes], Any]] = {}

    def of(self, shape: Shape) -> Callable[[bytes], Any]:
        """The decoder of a shape with a value key."""
        known = self._known.get(shape)
        if known is None:
            if len(self._known) >= _SHAPES_KEPT:
                del self._known[next(iter(self._known))]
            known = self._known[shape] = _decoder(shape)
        return known


_RANGE: Final = {
    TimeUnit.S: (0, 92 * 10**8),
    TimeUnit.MS: (10**11, 92 * 10**11),
    TimeUnit.US: (10**14, 92 * 10**14),
    TimeUnit.NS: (10**17, 92 * 10**17),
}


def _decoder(shape: Shape) -> Callable[[bytes], Any]:
    fields: list[tuple[str, Any]] = [("value", _Number | bool)]
    rename = {"value": str(shape.value)}
    if shape.time is not None:
        fields.append(("time", str if shape.text_time else _Number))
        rename["time"] = shape.time
    for position, key in enumerate(sorted(shape.others or ())):
        fields.append((f"other{position}", Any))
        rename[f"other{position}"] = key
    kind = msgspec.defstruct(
        "Flat", fields, rename=rename, gc=False, forbid_unknown_fields=shape.others is not None
    )
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(kind).decode
    return decode


def _filled(template: Template, fields: dict[str, str]) -> str:
    return "".join(
        part if isinstance(part, str) else fields.get(getattr(part, "text", ""), "")
        for part in template.parts
    )


MISSES_BEFORE_RELEARNING: Final = _MISSES
