"""CloudEvents 1.0 (github.com/cloudevents/spec): structured JSON, batches of it, binary mode.

An event is read like a document: its data is a scalar, an object with a value, or leaves. The series is
named by the event's `type`, the labels are its `source` and, if present, its `subject`. The device time is
a time in the data, else the event's `time`. Base64 data is a value of bytes. An event without data is no
reading.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from headland.line.formats.config import FormatLimits, MappingConfig
from headland.line.formats.documents import DocumentReader, document
from headland.line.formats.found import Found, checked, series_key
from headland.line.formats.moments import text_ns
from headland.line.formats.plain import plain_value
from headland.line.formats.rejection import RejectReason, Unfit
from headland.vocabulary import NO_TIME

_ATTRIBUTES = ("specversion", "id", "source", "type")
_SUPPORTED: Final = "1.0"
_ANY: Final = MappingConfig(topic="#")


def is_cloudevent(root: Any) -> bool:
    """Whether a document is an event, or a batch of them."""
    if isinstance(root, list):
        return bool(root) and is_cloudevent(root[0])
    return (
        isinstance(root, dict)
        and isinstance(root.get("specversion"), str)
        and "type" in root
        and "source" in root
    )


def cloudevents(root: Any, limits: FormatLimits) -> Found:
    """The readings of a structured event or a batch.

    Raises:
        Unfit: Not an event of version 1.0, or its data does not fit.
    """
    found = Found()
    for index, event in enumerate(root if isinstance(root, list) else [root]):
        path = f"$[{index}]" if isinstance(root, list) else "$"
        if not isinstance(event, dict):
            raise Unfit(RejectReason.NOT_CLOUDEVENT, "expected an object", path=path)
        _event(event, _data(event, path), path, limits, found)
        if len(found.name) > limits.max_readings:
            raise Unfit(RejectReason.TOO_MANY_READINGS, f"more than {limits.max_readings} readings")
    return found


def cloudevent_binary(headers: Mapping[str, str], body: bytes, limits: FormatLimits) -> Found:
    """The readings of a binary-mode event, whose attributes are headers.

    They are called ``ce-...`` (HTTP binding); MQTT 5 user properties get the prefix from who hands them in.

    Args:
        headers: Lower-case names.
        body: The data, as its `content-type` says: JSON, text, or else bytes.
        limits: Bounds.

    Raises:
        Unfit: Not an event of version 1.0, or its data does not fit.
    """
    event: dict[str, Any] = {
        name.removeprefix("ce-"): text for name, text in headers.items() if name.startswith("ce-")
    }
    media = headers.get("content-type", "application/json").split(";")[0].strip().lower()
    data: Any
    if not body:
        data = None
    elif media == "application/json" or media.endswith("+json"):
        data = document(body)
    elif media.startswith("text/"):
        data = plain_value(body, limits)
    else:
        data = body
    found = Found()
    _event(event, data, "headers", limits, found)
    return found


def _data(event: dict[str, Any], path: str) -> Any:
    if "data_base64" not in event:
        return event.get("data")
    try:
        return base64.b64decode(event["data_base64"], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise Unfit(
            RejectReason.NOT_CLOUDEVENT, "data_base64 is not base64", path=f"{path}.data_base64"
        ) from error


def _event(event: dict[str, Any], data: Any, path: str, limits: FormatLimits, found: Found) -> None:
    for attribute in _ATTRIBUTES:
        if not isinstance(event.get(attribute), str) or not event[attribute]:
            near = get_close_matches(attribute, [name for name in event if name not in _ATTRIBUTES], 1)
            hint = f"`{near[0]}` is given" if near else ""
            if "series" in event:
                hint = "that is a reading: POST it to /v1/readings"
            raise Unfit(RejectReason.NOT_CLOUDEVENT, f"`{attribute}` is missing", path=path, hint=hint)
    if event["specversion"] != _SUPPORTED:
        raise Unfit(
            RejectReason.UNSUPPORTED, f"specversion {event['specversion'][:20]!r}, supported: 1.0", path=path
        )
    time = event.get("time")
    if time is not None and not isinstance(time, str):
        raise Unfit(RejectReason.BAD_TIME, "`time` is not RFC 3339 text", path=f"{path}.time")
    own_time = NO_TIME if time is None else text_ns(time)
    labels = {"source": event["source"]}
    if isinstance(event.get("subject"), str) and event["subject"]:
        labels["subject"] = event["subject"]
    if data is None:
        return
    if isinstance(data, bytes):
        read = Found([""], [NO_TIME], [checked(data, limits, path)])
    else:
        read = DocumentReader(_ANY, limits, (), "cloudevents").read(data)
    for leaf, ts, value in zip(read.name, read.ts, read.value, strict=True):
        name = event["type"] if leaf == "" else f"{event['type']}/{leaf}"
        found.add(series_key(name, labels, limits), own_time if ts == NO_TIME else ts, value)
