"""Sparkplug B 3.0 (sparkplug.eclipse.org): payloads, alias tables, sequence numbers, rebirth.

Topics: ``spBv1.0/{group}/{NBIRTH|NDATA|NDEATH|NCMD}/{edge}`` and
``.../{DBIRTH|DDATA|DDEATH|DCMD}/{edge}/{device}``; ``spBv1.0/STATE/{host}`` and commands give no readings.

Laws:
    1. A metric is the series of its name with labels `group`, `edge_node` and, for devices, `device`.
       Births and deaths also give the boolean series `online` with these labels.
    2. An alias means what the last birth of its node or device said. An alias without a birth rejects the
       message and asks for rebirth.
    3. Sequences of one edge node count 0..255 and round again, from its NBIRTH on, over node and device
       messages. A gap asks for rebirth; the message itself is read.
    4. A death whose bdSeq is not the one of the last NBIRTH is an old connection's: it changes nothing.
    5. Rebirth is asked for at most every 10 s an edge node.

The tables are in memory only: after a restart the first message of each edge node asks for rebirth. Nulls,
and the protocol's own metrics (``bdSeq``, ``Node Control/...``, ``Device Control/...``) are no readings.
Integers come back signed as declared; a UInt64 above 2^63 - 1 does not fit. Templates and data sets become
``name/member`` and ``name/column``; definitions of templates are no readings; packed arrays stay bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from headland.line.formats.config import FormatLimits
from headland.line.formats.found import INT_HIGH, Found, checked, series_key
from headland.line.formats.rejection import RejectReason, Unfit
from headland.line.formats.wire import as_bytes, as_double, as_float, as_int, as_text, field, fields
from headland.vocabulary import NO_TIME, Value

PREFIX: Final = "spBv1.0/"
NODES_KEPT: Final = 10_000
"""Edge nodes whose tables are remembered; the least recently heard goes."""
ALIASES_KEPT: Final = 50_000
"""Metrics with an alias in one edge node or device; a birth with more is rejected."""
_REBIRTH_PAUSE_NS: Final = 10_000_000_000
_MS: Final = 1_000_000
_SIGNED_BITS: Final = {1: 8, 2: 16, 3: 32, 4: 64}
_BOOLEAN: Final = 11
_REBIRTH: Final = "Node Control/Rebirth"


class RebirthRequest(msgspec.Struct, frozen=True):
    """Ask an edge node to publish its births again.

    Attributes:
        group: Sparkplug group.
        edge_node: Edge node in it.
        reason: Why: "unknown alias", "sequence gap" or "no birth seen".
    """

    group: str
    edge_node: str
    reason: str

    @property
    def topic(self) -> str:
        """Where to publish it (QoS 0, not retained)."""
        return f"{PREFIX}{self.group}/NCMD/{self.edge_node}"

    def payload(self, wall_ns: int) -> bytes:
        """The command: the metric ``Node Control/Rebirth`` = true."""
        now = max(0, wall_ns) // _MS
        metric = field(1, _REBIRTH.encode()) + field(3, now) + field(4, _BOOLEAN) + field(14, 1)
        return field(1, now) + field(2, metric)


class Metric(msgspec.Struct, gc=False):
    """One metric as it came.

    Attributes:
        name: Name, or "" when only the alias is given.
        alias: Alias, or -1.
        ts: ns UTC, or NO_TIME.
        datatype: Sparkplug data type code, 0 when absent.
        null: Whether it says that it has no value.
        kind: Field number of the value (10-19), 0 when absent.
        raw: The value field.
    """

    name: str = ""
    alias: int = -1
    ts: int = NO_TIME
    datatype: int = 0
    null: bool = False
    kind: int = 0
    raw: int | bytes = 0


class Payload(msgspec.Struct, gc=False):
    """A payload as it came: time (ns UTC or NO_TIME), sequence (or -1), metrics."""

    ts: int = NO_TIME
    seq: int = -1
    metrics: list[Metric] = []


class _Node:
    """What an edge node's births said.

    Attributes:
        next_seq: Sequence that its next message must have, or -1 before any birth.
        bd_seq: bdSeq of its last NBIRTH, or -1.
        tables: Per device ("" is the node itself): alias to (name, data type).
        types: Per device: name to data type.
        asked_ns: When rebirth was last asked for, or None.
    """

    __slots__ = ("asked_ns", "bd_seq", "next_seq", "tables", "types")

    def __init__(self) -> None:
        self.next_seq = -1
        self.bd_seq = -1
        self.tables: dict[str, dict[int, tuple[str, int]]] = {}
        self.types: dict[str, dict[str, int]] = {}
        self.asked_ns: int | None = None


def is_sparkplug_topic(topic: str) -> bool:
    """Whether a topic is in the Sparkplug B namespace."""
    return topic.startswith(PREFIX)


class SparkplugDecoder:
    """Reads the messages of all edge nodes; holds their tables."""

    def __init__(self, limits: FormatLimits) -> None:
        self._limits = limits
        self._nodes: dict[tuple[str, str], _Node] = {}
        self._rebirths: list[RebirthRequest] = []

    def take_rebirths(self) -> list[RebirthRequest]:
        """Requests made since the last call."""
        taken, self._rebirths = self._rebirths, []
        return taken

    def decode(self, topic: str, payload: bytes, node_ns: int) -> Found:
        """The readings of one message.

        Args:
            topic: Its topic, in the Sparkplug namespace.
            payload: Its bytes.
            node_ns: Node time, ns UTC.

        Raises:
            Unfit: The topic or payload is not Sparkplug B, or an alias is unknown.
        """
        levels = topic.split("/")
        if len(levels) < 4 or levels[0] != "spBv1.0" or levels[1] == "STATE":
            if len(levels) >= 2 and levels[1] == "STATE":
                return Found()
            raise Unfit(RejectReason.UNSUPPORTED, "not a Sparkplug B topic")
        group, verb, edge = levels[1:4]
        device = levels[4] if len(levels) == 5 else ""
        if verb in ("NCMD", "DCMD"):
            return Found()
        if (verb not in _NODE_VERBS and verb not in _DEVICE_VERBS) or len(levels) != (
            5 if verb in _DEVICE_VERBS else 4
        ):
            raise Unfit(RejectReason.UNSUPPORTED, f"not a Sparkplug B topic: {verb[:20]!r}")
        message = read_payload(payload)
        labels = {"group": group, "edge_node": edge} | ({"device": device} if device else {})
        if verb == "NDEATH":
            return self._node_died(group, edge, message, labels)
        node = self._node(group, edge)
        if verb != "NBIRTH":
            self._follow(node, message.seq, group, edge, node_ns)
        match verb:
            case "NBIRTH" | "DBIRTH":
                return self._born(node, device, message, labels)
            case "DDEATH":
                node.tables.pop(device, None)
                node.types.pop(device, None)
                return self._online(labels, False, message.ts)
            case _:
                found = Found()
                try:
                    self._readings(node, device, message, labels, found)
                except Unfit as unfit:
                    if unfit.reason is RejectReason.UNKNOWN_ALIAS:
                        self._ask(node, group, edge, "unknown alias", node_ns)
                    raise
                return found

    def _node(self, group: str, edge: str) -> _Node:
        node = self._nodes.pop((group, edge), None)
        if node is None:
            node = _Node()
            if len(self._nodes) >= NODES_KEPT:
                del self._nodes[next(iter(self._nodes))]
        self._nodes[group, edge] = node
        return node

    def _follow(self, node: _Node, seq: int, group: str, edge: str, node_ns: int) -> None:
        if node.next_seq < 0:
            self._ask(node, group, edge, "no birth seen", node_ns)
        elif seq != node.next_seq:
            self._ask(node, group, edge, "sequence gap", node_ns)
        if node.next_seq >= 0 and 0 <= seq < 256:
            node.next_seq = (seq + 1) % 256

    def _ask(self, node: _Node, group: str, edge: str, reason: str, node_ns: int) -> None:
        if node.asked_ns is not None and 0 <= node_ns - node.asked_ns < _REBIRTH_PAUSE_NS:
            return
        node.asked_ns = node_ns
        self._rebirths.append(RebirthRequest(group, edge, reason))

    def _born(self, node: _Node, device: str, message: Payload, labels: dict[str, str]) -> Found:
        table: dict[int, tuple[str, int]] = {}
        types: dict[str, int] = {}
        bd_seq = -1
        for metric in message.metrics:
            if not metric.name:
                raise Unfit(RejectReason.BAD_NAME, "a birth with a metric without a name")
            types[metric.name] = metric.datatype
            if metric.alias >= 0:
                table[metric.alias] = (metric.name, metric.datatype)
            if metric.name == "bdSeq" and isinstance(metric.raw, int):
                bd_seq = metric.raw
        if len(types) > ALIASES_KEPT:
            raise Unfit(
                RejectReason.TOO_MANY_READINGS, f"a birth of {len(types)} metrics, at most {ALIASES_KEPT}"
            )
        found = self._online(labels, True, message.ts)
        self._readings(None, device, message, labels, found)
        if not device:
            node.tables.clear()
            node.types.clear()
            node.bd_seq = bd_seq
            node.next_seq = (message.seq + 1) % 256 if 0 <= message.seq < 256 else 1
            node.asked_ns = None
        node.tables[device] = table
        node.types[device] = types
        return found

    def _node_died(self, group: str, edge: str, message: Payload, labels: dict[str, str]) -> Found:
        node = self._nodes.get((group, edge))
        bd_seq = next((m.raw for m in message.metrics if m.name == "bdSeq"), -1)
        if node is not None:
            if node.bd_seq >= 0 and bd_seq != node.bd_seq:
                return Found()
            del self._nodes[group, edge]
        return self._online(labels, False, NO_TIME)

    def _online(self, labels: dict[str, str], online: bool, ts: int) -> Found:
        return Found([series_key("online", labels, self._limits)], [ts], [online])

    def _readings(
        self, node: _Node | None, device: str, message: Payload, labels: dict[str, str], found: Found
    ) -> None:
        aliases = node.tables.get(device, _NO_TABLE) if node is not None else _NO_TABLE
        types = node.types.get(device, _NO_TYPES) if node is not None else _NO_TYPES
        for metric in message.metrics:
            name, datatype = metric.name, metric.datatype
            if not name:
                known = aliases.get(metric.alias)
                if known is None:
                    raise Unfit(RejectReason.UNKNOWN_ALIAS, f"alias {metric.alias} without a birth")
                name, birth_type = known
            else:
                birth_type = types.get(name, 0)
            ts = message.ts if metric.ts == NO_TIME else metric.ts
            self._reading(name, datatype or birth_type, metric, ts, labels, found, 0)

    def _reading(
        self,
        name: str,
        datatype: int,
        metric: Metric,
        ts: int,
        labels: dict[str, str],
        found: Found,
        depth: int,
    ) -> None:
        if metric.null or metric.kind == 0 or name == "bdSeq" or name.startswith(_OWN):
            return
        if depth > self._limits.max_depth:
            raise Unfit(RejectReason.TOO_DEEP, f"templates nested more than {self._limits.max_depth} deep")
        if metric.kind == 18:
            for inner in _template(as_bytes(2, metric.raw)):
                if inner.name:
                    below = ts if inner.ts == NO_TIME else inner.ts
                    self._reading(
                        f"{name}/{inner.name}", inner.datatype, inner, below, labels, found, depth + 1
                    )
            return
        if metric.kind == 17:
            for column, value in _data_set(as_bytes(2, metric.raw)):
                self._add(f"{name}/{column}", ts, value, labels, found)
            return
        self._add(name, ts, _value(metric.kind, metric.raw, datatype), labels, found)

    def _add(self, name: str, ts: int, value: Value, labels: dict[str, str], found: Found) -> None:
        if len(found.name) >= self._limits.max_readings:
            raise Unfit(RejectReason.TOO_MANY_READINGS, f"more than {self._limits.max_readings} readings")
        found.add(series_key(name, labels, self._limits), ts, checked(value, self._limits, name))


_NODE_VERBS: Final = frozenset({"NBIRTH", "NDATA", "NDEATH"})
_DEVICE_VERBS: Final = frozenset({"DBIRTH", "DDATA", "DDEATH"})
_OWN: Final = ("Node Control/", "Device Control/")
_NO_TABLE: Final[dict[int, tuple[str, int]]] = {}
_NO_TYPES: Final[dict[str, int]] = {}


def read_payload(message: bytes) -> Payload:
    """Decode an ``org.eclipse.tahu.protobuf.Payload``.

    Raises:
        Unfit: The bytes are not one.
    """
    payload = Payload()
    for number, kind, value in fields(message):
        if number == 1:
            payload.ts = _time(as_int(value))
        elif number == 2:
            payload.metrics.append(_metric(as_bytes(kind, value)))
        elif number == 3:
            payload.seq = as_int(value)
    return payload


def _metric(message: bytes) -> Metric:
    metric = Metric()
    for number, kind, value in fields(message):
        if number == 1:
            metric.name = as_text(kind, value)
        elif number == 2:
            metric.alias = as_int(value)
        elif number == 3:
            metric.ts = _time(as_int(value))
        elif number == 4:
            metric.datatype = as_int(value)
        elif number == 7:
            metric.null = as_int(value) != 0
        elif 10 <= number <= 18:
            metric.kind, metric.raw = number, value
    return metric


def _time(ms: int) -> int:
    if ms > INT_HIGH // _MS:
        raise Unfit(RejectReason.BAD_TIME, "a time beyond 64-bit nanoseconds")
    return ms * _MS


def _value(kind: int, raw: int | bytes, datatype: int) -> Value:
    match kind:
        case 10 | 11:
            return _integer(as_int(raw), datatype)
        case 12:
            return as_float(raw)
        case 13:
            return as_double(raw)
        case 14:
            return as_int(raw) != 0
        case 15:
            return as_text(2, raw)
        case _:
            return as_bytes(2, raw)


def _integer(raw: int, datatype: int) -> int | bool:
    if datatype == _BOOLEAN:
        return raw != 0
    bits = _SIGNED_BITS.get(datatype)
    if bits is None:
        return raw
    raw &= (1 << bits) - 1
    return raw - (1 << bits) if raw >> (bits - 1) else raw


def _template(message: bytes) -> list[Metric]:
    metrics: list[Metric] = []
    for number, kind, value in fields(message):
        if number == 2:
            metrics.append(_metric(as_bytes(kind, value)))
        elif number == 5 and as_int(value):
            return []  # a definition: its values are defaults, nothing was measured
    return metrics


def _data_set(message: bytes) -> list[tuple[str, Value]]:
    columns: list[str] = []
    types: list[int] = []
    rows: list[list[tuple[int, int | bytes]]] = []
    for number, kind, value in fields(message):
        if number == 2:
            columns.append(as_text(kind, value))
        elif number == 3 and isinstance(value, int):
            types.append(value)
        elif number == 3:
            types += as_bytes(kind, value)  # packed; every type code is below 128
        elif number == 4:
            rows.append([_cell(as_bytes(k, v)) for n, k, v in fields(as_bytes(kind, value)) if n == 1])
    if any(len(row) != len(columns) for row in rows) or len(types) != len(columns):
        raise Unfit(RejectReason.NOT_PROTOBUF, "a data set whose rows, types and columns differ in number")
    return [
        (column, _value(kind + 9, raw, datatype) if kind else "")
        for row in rows
        for column, datatype, (kind, raw) in zip(columns, types, row, strict=True)
        if kind
    ]


def _cell(message: bytes) -> tuple[int, int | bytes]:
    cell: tuple[int, int | bytes] = (0, 0)
    for number, _, value in fields(message):
        if 1 <= number <= 6:
            cell = (number, value)
    return cell
