"""Payloads to readings: the one entrance for topics.

Laws:
    1. A message either gives all its readings or none; the batch gets exactly one end per message either way.
    2. Random bytes give a rejection or readings, never an exception.
    3. The sizes of a message's readings add up to its length.
    4. What a payload means depends on the configuration and the payload only, never on earlier payloads
       (Sparkplug aliases excepted, which is why a lost table asks for rebirth).
    5. A rejected message numbers no series.

An empty payload is a message without readings (it clears a retained message). Plans are kept per topic, at
most `FormatLimits.max_topics`; the oldest goes.
"""

from __future__ import annotations

from collections.abc import Mapping as HeaderMap
from collections.abc import Sequence
from typing import assert_never

import msgspec

from headland.line.formats.cloudevents import cloudevent_binary, cloudevents, is_cloudevent
from headland.line.formats.config import Format, FormatLimits, MappingConfig, TimeUnit
from headland.line.formats.documents import document
from headland.line.formats.found import Found
from headland.line.formats.influx import Precision, line_protocol
from headland.line.formats.moments import number_ns, text_ns
from headland.line.formats.plain import plain_value
from headland.line.formats.plans import MISSES_BEFORE_RELEARNING, Compiled, Plan, Shapes
from headland.line.formats.rejection import Rejected, RejectReason, Unfit
from headland.line.formats.sparkplug import RebirthRequest, SparkplugDecoder, is_sparkplug_topic
from headland.vocabulary import NO_SEQUENCE, NO_TIME, Batch, SeriesTable, Value

Headers = HeaderMap[str, str]

_STRETCH = 64
"""Payloads of one topic that are read together; bounds what is looked at again when one of them is odd."""
_EMPTY_CLEARS = frozenset(Format) - {Format.SPARKPLUG_B, Format.CLOUDEVENTS}
_PRECISION = {TimeUnit.S: Precision.S, TimeUnit.MS: Precision.MS, TimeUnit.US: Precision.US}


class Mapping:
    """All declared mappings and the default one, with what is remembered per topic.

    Args:
        mappings: Declared mappings; the first that matches a topic decides.
        table: This node's series numbering.
        limits: Bounds on a payload.
        default: Whether a topic that nothing matches is read by recognition; otherwise it is rejected.

    Raises:
        ConfigurationError: A mapping is wrong.
    """

    def __init__(
        self,
        mappings: Sequence[MappingConfig],
        table: SeriesTable,
        limits: FormatLimits | None = None,
        *,
        default: bool = True,
    ) -> None:
        self._limits = limits or FormatLimits()
        self._table = table
        self._compiled = [
            Compiled(config, self._limits, f"mapping[{index}]") for index, config in enumerate(mappings)
        ]
        self._default = (
            Compiled(MappingConfig(topic="#"), self._limits, "default mapping") if default else None
        )
        self._shapes = Shapes()
        self._plans: dict[str, Plan] = {}
        self._sparkplug = SparkplugDecoder(self._limits)

    def decode_run(
        self,
        topics: Sequence[str],
        payloads: Sequence[bytes],
        node_ns: int,
        batch: Batch,
        headers: Sequence[Headers | None] | None = None,
    ) -> list[Rejected]:
        """Append the readings of a run of messages to a batch.

        Args:
            topics: One topic a message.
            payloads: One payload a message.
            node_ns: Node time in ns UTC (limits how often rebirth is asked for).
            batch: Gets the readings, and one `message_ends` entry a message.
            headers: Properties of each message (CloudEvents binary mode), or None.

        Returns:
            The messages that gave nothing, with the reason.
        """
        rejected: list[Rejected] = []
        plans = self._plans
        sids, times, values, sizes, ends = batch.sid, batch.ts, batch.value, batch.size, batch.message_ends
        longest = self._limits.max_payload_bytes
        count = len(sids)
        index, total = -1, len(topics)
        while (index := index + 1) < total:
            topic = topics[index]
            payload = payloads[index]
            plan = plans.get(topic)
            if plan is not None and plan.timed == 2 and plan.decode is not None:
                stop, most = index + 1, min(total, index + _STRETCH)
                while stop < most and topics[stop] == topic:
                    stop += 1
                if stop - index > 1 and (done := _stretch(plan, payloads[index:stop], longest, batch)):
                    ends += range(count + 1, count + done + 1)
                    count += done
                    index += done - 1
                    continue
            if plan is not None and plan.decode is not None and (size := len(payload)) <= longest:
                try:
                    read = plan.decode(payload)
                    if not plan.timed:
                        ts, value = NO_TIME, read
                    elif plan.timed == 1:
                        ts, value = NO_TIME, read.value
                    elif plan.timed == 2:
                        value = read.value
                        moment = read.time
                        if type(moment) is int and plan.low <= moment < plan.high:
                            ts = moment * plan.scale
                        else:
                            ts = _moment(moment, plan)
                    elif plan.timed == 3:
                        value = read.value
                        ts = text_ns(read.time)
                    else:
                        count += _leaves(read, plan, size, batch)
                        ends.append(count)
                        plan.missed = 0
                        continue
                except _NOT_SO:
                    plan.missed += 1
                    if plan.missed >= MISSES_BEFORE_RELEARNING:
                        plan.decode = None
                else:
                    plan.missed = 0
                    sids.append(plan.sid)
                    times.append(ts)
                    values.append(value)
                    sizes.append(size)
                    count += 1
                    ends.append(count)
                    continue
            try:
                self._whole(topic, payload, node_ns, batch, headers[index] if headers is not None else None)
            except Unfit as unfit:
                rejected.append(Rejected(index, unfit.reason, unfit.detail))
            except Exception as error:  # noqa: BLE001 - whatever a payload does to a decoder, the node goes on
                _truncate(batch, count)
                detail = f"{type(error).__name__}: {error}"[:200]
                rejected.append(Rejected(index, RejectReason.DECODER_FAILED, detail))
            count = len(sids)
            ends.append(count)
        if batch.seq is not None:
            _pad(batch.seq, count, NO_SEQUENCE)
        if batch.severity is not None:
            _pad(batch.severity, count, 0)
        return rejected

    def take_rebirths(self) -> list[RebirthRequest]:
        """Edge nodes that must be asked for a rebirth (an NCMD ``Node Control/Rebirth = true``)."""
        return self._sparkplug.take_rebirths()

    def _whole(self, topic: str, payload: bytes, node_ns: int, batch: Batch, headers: Headers | None) -> None:
        limits = self._limits
        if len(payload) > limits.max_payload_bytes:
            raise Unfit(RejectReason.TOO_LARGE, f"{len(payload)} bytes, at most {limits.max_payload_bytes}")
        plan = self._plans.get(topic) or self._plan(topic)
        if not payload and plan.compiled.format in _EMPTY_CLEARS and not is_sparkplug_topic(topic):
            return
        config = plan.compiled.config
        match plan.compiled.format:
            case Format.SPARKPLUG_B:
                found = self._sparkplug.decode(topic, payload, node_ns)
            case Format.AUTO if is_sparkplug_topic(topic):
                found = self._sparkplug.decode(topic, payload, node_ns)
            case Format.AUTO if headers and "ce-specversion" in headers:
                found = cloudevent_binary(headers, payload, limits)
            case Format.AUTO:
                self._recognised(plan, payload, batch)
                return
            case Format.JSON:
                self._document(plan, document(payload), len(payload), batch)
                return
            case Format.PLAIN:
                self._scalar(plan, payload, batch)
                return
            case Format.RAW:
                if len(payload) > limits.max_text_bytes:
                    raise Unfit(
                        RejectReason.TOO_LARGE, f"{len(payload)} bytes, at most {limits.max_text_bytes}"
                    )
                found = Found([""], [NO_TIME], [payload])
            case Format.INFLUX:
                precision = _PRECISION.get(config.time_unit, Precision.NS)
                found = line_protocol(payload, precision, limits, plan.label_texts())
            case Format.CLOUDEVENTS:
                found = (
                    cloudevent_binary(headers, payload, limits)
                    if headers and "ce-specversion" in headers
                    else cloudevents(document(payload), limits)
                )
            case _:
                assert_never(plan.compiled.format)
        self._append(plan, found, len(payload), batch)

    def _recognised(self, plan: Plan, payload: bytes, batch: Batch) -> None:
        first = payload.lstrip()[:1]
        if first in (b"{", b"["):
            root = document(payload)
            if is_cloudevent(root):
                self._append(plan, cloudevents(root, self._limits), len(payload), batch)
            else:
                self._document(plan, root, len(payload), batch)
        elif first == b'"':
            self._append(plan, plan.compiled.reader.read(document(payload)), len(payload), batch)
        elif payload.strip() == b"null":
            raise Unfit(RejectReason.NO_VALUE, "the value is null")
        else:
            self._scalar(plan, payload, batch)

    def _scalar(self, plan: Plan, payload: bytes, batch: Batch) -> None:
        booleans = plan.compiled.config.booleans
        value = plain_value(payload, self._limits, booleans)
        self._append(plan, Found([""], [NO_TIME], [value]), len(payload), batch)
        if type(value) not in (int, float):
            plan.learn_word(payload, value, batch.sid[-1])
        elif (shape := plan.compiled.reader.shape(value)) is not None:
            plan.learn(shape, value, batch.sid[-1:], self._shapes)

    def _document(self, plan: Plan, root: object, size: int, batch: Batch) -> None:
        reader = plan.compiled.reader
        found = reader.read(root)
        self._append(plan, found, size, batch)
        if plan.worth_a_look():
            shape = reader.shape(root)
            if shape is not None:
                plan.learn(shape, root, batch.sid[-len(found.name) :], self._shapes)

    def _append(self, plan: Plan, found: Found, size: int, batch: Batch) -> None:
        sids = plan.numbers(found.name, self._table)
        rows = len(sids)
        if not rows:
            return
        before = len(batch.sid)
        batch.sid += sids
        batch.ts += found.ts
        batch.value += found.value
        share, rest = divmod(size, rows)
        batch.size.append(share + rest)
        batch.size += [share] * (rows - 1)
        if found.seq is not None:
            if batch.seq is None:
                batch.seq = []
            _pad(batch.seq, before, NO_SEQUENCE)
            batch.seq += found.seq

    def _plan(self, topic: str) -> Plan:
        for compiled in (*self._compiled, *((self._default,) if self._default is not None else ())):
            bound = compiled.bind(topic)
            if bound is not None:
                if len(self._plans) >= self._limits.max_topics:
                    del self._plans[next(iter(self._plans))]
                plan = self._plans[topic] = Plan(topic, compiled, bound[0], bound[1], self._limits)
                return plan
        raise Unfit(RejectReason.NO_MAPPING, "no mapping matches the topic")


class _OutOfShape(Exception):
    """Control flow of one loop, never seen outside."""


_NOT_SO = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, Unfit, _OutOfShape)
"""What a shortcut says of a payload that must be read in full."""


def _moment(moment: float, plan: Plan) -> int:
    if not plan.low <= moment < plan.high:
        raise _OutOfShape
    if type(moment) is int:
        return moment * plan.scale
    return number_ns(moment, _UNIT_OF_SCALE[plan.scale])


def _leaves(read: dict[str, float], plan: Plan, size: int, batch: Batch) -> int:
    if tuple(read) != plan.keys:
        raise _OutOfShape
    row: list[Value] = list(read.values())
    ts = NO_TIME
    if plan.time_at >= 0:
        moment = row.pop(plan.time_at)
        if type(moment) is not int and type(moment) is not float:
            raise _OutOfShape
        ts = _moment(moment, plan)
    rows = len(row)
    batch.sid += plan.sids
    batch.ts += [ts] * rows
    batch.value += row
    share, rest = divmod(size, rows)
    batch.size.append(share + rest)
    batch.size += [share] * (rows - 1)
    return rows


def _stretch(plan: Plan, payloads: Sequence[bytes], longest: int, batch: Batch) -> int:
    """Read payloads of one topic as long as the shortcut for a value and its time in a number suffices.

    What it appends is what the loop over messages would; how many were read is returned.
    """
    decode, low, high, scale = plan.decode, plan.low, plan.high, plan.scale
    assert decode is not None
    times, values = batch.ts, batch.value
    before = len(times)
    sizes = list(map(len, payloads))
    if max(sizes) > longest:
        payloads = payloads[: next(at for at, size in enumerate(sizes) if size > longest)]
    try:
        for payload in payloads:
            read = decode(payload)
            moment = read.time
            if type(moment) is not int or not low <= moment < high:
                break
            times.append(moment * scale)
            values.append(read.value)
    except _NOT_SO:
        pass
    done = len(times) - before
    if done:
        plan.missed = 0
        batch.sid += [plan.sid] * done
        batch.size += sizes[:done]
    return done


_UNIT_OF_SCALE = {1_000_000_000: TimeUnit.S, 1_000_000: TimeUnit.MS, 1_000: TimeUnit.US, 1: TimeUnit.NS}


def _truncate(batch: Batch, count: int) -> None:
    """Take back what half a payload has left."""
    for column in (batch.sid, batch.ts, batch.value, batch.size, batch.seq or [], batch.severity or []):
        del column[count:]


def _pad(column: list[int], length: int, absent: int) -> None:
    column += [absent] * (length - len(column))
