"""JSON documents to readings, by declared paths or by recognition.

Recognition (a mapping that names no value and no time) is deterministic and looks only at the document:

* a scalar is the value;
* an object's time is ``ts``, ``timestamp``, ``time`` or ``t``, the first that is there; `time` and `t`
  only count as RFC 3339 text or from 1e8 upward (a `t` of 23.5 is a temperature, not a moment of 1970);
* an object's value is ``value``, else ``v``; without either, every leaf but the time is a series of its own,
  named by its path (``motor/bearing/temp``); text leaves are left out unless ``leaves = "all"``;
* an array of objects is an array of readings; an array of at most 16 scalars has leaves ``0``, ``1`` ...; a
  longer one needs a declared ``array``.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any, Final

import msgspec

from headland.line.formats.config import FormatLimits, Leaves, MappingConfig
from headland.line.formats.found import INT_HIGH, INT_LOW, Found, checked, sequence_number
from headland.line.formats.moments import any_ns, is_time_text
from headland.line.formats.paths import ABSENT, PayloadPath, Template, compile_path, find
from headland.line.formats.rejection import RejectReason, Unfit
from headland.vocabulary import NO_SEQUENCE, NO_TIME

TIME_KEYS: Final = ("ts", "timestamp", "time", "t")
VALUE_KEYS: Final = ("value", "v")
SHORT_ARRAY: Final = 16
SHAPE_KEYS: Final = 32
_EARLIEST: Final = 1e8

_decode: Final = msgspec.json.Decoder().decode


def document(payload: bytes) -> Any:
    """Decode JSON (RFC 8259: no NaN, no comments).

    Raises:
        Unfit: It is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return _decode(payload)
    except UnicodeDecodeError as error:
        raise Unfit(RejectReason.INVALID_UTF8, error.reason) from error
    except RecursionError as error:
        raise Unfit(RejectReason.TOO_DEEP, "nested too deeply") from error
    except msgspec.ValidationError as error:
        raise Unfit(RejectReason.NUMBER_OUT_OF_RANGE, str(error)) from error
    except msgspec.DecodeError as error:
        raise Unfit(RejectReason.NOT_JSON, str(error)) from error


_NAMES_A_FIELD: Final = re.compile(r'[^"\\\x00-\x1f]*').fullmatch
"""Keys that a typed decoder may be made for (`msgspec.defstruct` refuses others)."""


class Shape(msgspec.Struct, frozen=True):
    """What a later payload must look like to be read without looking again: one value, at most one time.

    Attributes:
        value: Key of the value, or None for a bare scalar.
        time: Key of the time, or None.
        others: All other keys; when None, any may be there.
        text_time: Whether the time is text.
    """

    value: str | None
    time: str | None
    others: frozenset[str] | None
    text_time: bool = False


class LeafShape(msgspec.Struct, frozen=True):
    """An object of numbers and booleans, none of them nested: each is a reading, but one may be the time.

    Attributes:
        keys: All keys in order.
        time: Index of the time, or -1.
    """

    keys: tuple[str, ...]
    time: int


class DocumentReader:
    """Reads documents by one mapping. Stateless after its making."""

    def __init__(
        self, config: MappingConfig, limits: FormatLimits, templates: tuple[Template, ...], where: str
    ) -> None:
        self._limits = limits
        self._array = compile_path(config.array, where=f"{where}.array") if config.array else None
        self._value = compile_path(config.value, where=f"{where}.value") if config.value else None
        self._value_text = config.value or "$"
        self._values = [
            (name, compile_path(path, where=f"{where}.values.{name}"), path)
            for name, path in config.values.items()
        ]
        self._time = compile_path(config.time, where=f"{where}.time") if config.time else None
        self._time_text = config.time
        self._unit = config.time_unit
        self._sequence = compile_path(config.sequence, where=f"{where}.sequence") if config.sequence else None
        self._sequence_text = config.sequence
        self._interval_ns = round(config.interval_s * 1e9)
        self._all_leaves = config.leaves is Leaves.ALL
        self._booleans = config.booleans
        found: dict[str, PayloadPath] = {}
        for template in templates:
            found.update((part.text, part) for part in template.parts if isinstance(part, PayloadPath))
        self.payload_fields: tuple[PayloadPath, ...] = tuple(found.values())

    def read(self, root: Any) -> Found:
        """All readings of a document.

        A leaf is named by its path ("" is the value itself); with payload
        fields in the templates, by (fields, leaf).

        Raises:
            Unfit: The document does not fit.
        """
        found = Found()
        if self._array is not None:
            elements = find(root, self._array)
            if not isinstance(elements, list):
                raise Unfit(
                    RejectReason.NO_VALUE, "no array there", path="$" + "".join(f".{s}" for s in self._array)
                )
            self._elements(root, elements, found)
        elif self._value is None and not self._values and isinstance(root, list) and _holds_objects(root):
            self._elements(root, root, found)
        else:
            self._element(root, root, "$", NO_TIME, found)
        if not found.name:
            raise Unfit(RejectReason.NO_VALUE, "nothing in it is a reading")
        return found

    def shape(self, root: Any) -> Shape | LeafShape | None:
        """The shape of a document just read, if the next one like it can be read by type alone."""
        if self._array is not None or self._values or self._sequence is not None or self.payload_fields:
            return None
        if self._booleans or (self._value is not None and len(self._value) != 1):
            return None
        if type(root) in (int, float):
            return Shape(None, None, None) if self._value is None and self._time is None else None
        if not isinstance(root, dict) or len(root) > SHAPE_KEYS or not all(map(_NAMES_A_FIELD, root)):
            return None
        value = (
            self._value[0] if self._value is not None else next((k for k in VALUE_KEYS if k in root), None)
        )
        time = self._time_key(root)
        if value is None:
            return self._leaf_shape(root, time)
        if not isinstance(value, str) or type(root.get(value)) not in (int, float, bool):
            return None
        if time is not None and type(root.get(time)) not in (int, float, str):
            return None
        if time == value or (self._time is not None and time is None):
            return None
        if self._time is None and any(key in root for key in TIME_KEYS if key != time):
            return None  # a number there may be a moment in the next payload
        exact = self._value is None or self._time is None
        others = frozenset(root) - {value, time} if exact else None
        return Shape(value, time, others, time is not None and isinstance(root[time], str))

    def _leaf_shape(self, root: dict[str, Any], time: str | None) -> LeafShape | None:
        if not all(type(value) in (int, float, bool) for value in root.values()):
            return None
        if self._time is None and any(key in root for key in TIME_KEYS if key != time):
            return None
        if time is not None and type(root[time]) is bool:
            return None
        keys = tuple(root)
        return LeafShape(keys, -1 if time is None else keys.index(time))

    def _time_key(self, root: dict[str, Any]) -> str | None:
        if self._time is not None:
            step = self._time[0] if len(self._time) == 1 else None
            return step if isinstance(step, str) and step in root else None
        return next((key for key in TIME_KEYS if key in root and _is_time(key, root[key])), None)

    def _elements(self, root: Any, elements: list[Any], found: Found) -> None:
        if len(elements) > self._limits.max_readings:
            raise _too_many(self._limits)
        base, _ = self._moment(root, "$") if isinstance(root, dict) else (NO_TIME, None)
        for index, element in enumerate(elements):
            start = NO_TIME if base == NO_TIME else base + index * self._interval_ns
            if start >= 1 << 63:
                start = NO_TIME  # no time of 64 bits
            self._element(root, element, f"$[{index}]", start, found)

    def _element(self, root: Any, element: Any, path: str, otherwise: int, found: Found) -> None:
        ts, time_key = self._moment(element, path)
        if ts == NO_TIME:
            ts = otherwise
        seq = NO_SEQUENCE
        if self._sequence is not None:
            raw = find(element, self._sequence)
            seq = NO_SEQUENCE if raw is ABSENT else sequence_number(raw, self._sequence_text)
        fields = self._fields(root, element) if self.payload_fields else None
        if self._values:
            for name, steps, text in self._values:
                raw = find(element, steps)
                if raw is not ABSENT and raw is not None:
                    self._value_at(raw, name, text, ts, seq, fields, found, 0)
            return
        if self._value is not None:
            raw = find(element, self._value)
            if raw is ABSENT:
                raise Unfit(RejectReason.NO_VALUE, "no value there", path=f"{path}{self._value_text[1:]}")
            self._value_at(raw, "", self._value_text, ts, seq, fields, found, 0)
            return
        if isinstance(element, dict):
            key = next((k for k in VALUE_KEYS if k in element), None)
            if key is not None:
                self._value_at(element[key], "", f"{path}.{key}", ts, seq, fields, found, 0)
                return
            skip = {time_key, self._sequence[0] if self._sequence and len(self._sequence) == 1 else None}
            element = {k: v for k, v in element.items() if k not in skip}
        self._value_at(element, "", path, ts, seq, fields, found, 0)

    def _moment(self, element: Any, path: str) -> tuple[int, str | None]:
        if self._time is not None:
            raw = find(element, self._time)
            if raw is ABSENT or raw is None:
                return NO_TIME, None
            only = self._time[0] if len(self._time) == 1 else None
            return any_ns(raw, self._unit, self._time_text), only if isinstance(only, str) else None
        if not isinstance(element, dict):
            return NO_TIME, None
        key = self._time_key(element)
        if key is None:
            return NO_TIME, None
        if element[key] is None:
            return NO_TIME, key
        return any_ns(element[key], self._unit, f"{path}.{key}"), key

    def _fields(self, root: Any, element: Any) -> tuple[str, ...]:
        texts: list[str] = []
        for field in self.payload_fields:
            raw = find(element, field.steps)
            if raw is ABSENT:
                raw = find(root, field.steps)
            if isinstance(raw, bool) or not isinstance(raw, (str, int)):
                raise Unfit(
                    RejectReason.BAD_NAME, "a name needs a text or whole number there", path=field.text
                )
            texts.append(str(raw))
        return tuple(texts)

    def _value_at(
        self,
        raw: Any,
        leaf: str,
        path: str,
        ts: int,
        seq: int,
        fields: tuple[str, ...] | None,
        found: Found,
        depth: int,
    ) -> None:
        if isinstance(raw, (dict, list)):
            self._leaves(raw, leaf, path, ts, seq, fields, found, depth + 1)
            return
        if isinstance(raw, str):
            if raw in self._booleans:
                raw = self._booleans[raw]
            elif depth and not self._all_leaves:
                return
        elif raw is None and depth:
            return
        name: Hashable = leaf if fields is None else (fields, leaf)
        found.add(name, ts, checked(raw, self._limits, path), seq)
        if len(found.name) > self._limits.max_readings:
            raise _too_many(self._limits)

    def _leaves(
        self,
        raw: Any,
        leaf: str,
        path: str,
        ts: int,
        seq: int,
        fields: tuple[str, ...] | None,
        found: Found,
        depth: int,
    ) -> None:
        if depth > self._limits.max_depth:
            raise Unfit(
                RejectReason.TOO_DEEP, f"nested more than {self._limits.max_depth} deep", path=path[:80]
            )
        if isinstance(raw, list) and len(raw) > SHORT_ARRAY:
            raise Unfit(
                RejectReason.WRONG_TYPE, f"an array of {len(raw)}: declare `array` to read it", path=path[:80]
            )
        items = raw.items() if isinstance(raw, dict) else ((str(i), element) for i, element in enumerate(raw))
        direct = fields is None and seq == NO_SEQUENCE and found.seq is None
        names, times, values = found.name, found.ts, found.value
        for key, inner in items:
            below = f"{leaf}/{key}" if leaf else key
            kind = type(inner)
            if direct and (kind is float or kind is bool or (kind is int and INT_LOW <= inner <= INT_HIGH)):
                names.append(below)
                times.append(ts)
                values.append(inner)
            elif kind is not str or self._all_leaves or self._booleans:
                self._value_at(inner, below, f"{path}.{key}", ts, seq, fields, found, depth)
        if len(names) > self._limits.max_readings:
            raise _too_many(self._limits)


def _is_time(key: str, raw: Any) -> bool:
    if key in ("ts", "timestamp"):
        return True
    if isinstance(raw, str):
        return is_time_text(raw)
    return isinstance(raw, (int, float)) and not isinstance(raw, bool) and abs(raw) >= _EARLIEST


def _holds_objects(elements: list[Any]) -> bool:
    return bool(elements) and all(isinstance(element, dict) for element in elements)


def _too_many(limits: FormatLimits) -> Unfit:
    return Unfit(RejectReason.TOO_MANY_READINGS, f"more than {limits.max_readings} readings")
