"""How a site declares what its payloads mean.

A mapping is one ``[[mapping]]`` table; the first whose topic matches decides. A topic that none matches is
read by the default mapping (format ``auto``, series named like the topic)::

    [[mapping]]
    topic = "plant/{site}/{machine}/{metric}"
    format = "json"
    value = "$.value"
    time = "$.ts"
    time_unit = "ms"
    series = "{metric}"
    unit = "mm/s"
    labels = { area = "press-shop" }

makes of ``plant/north/p4/vibration`` the series ``vibration`` with the labels ``area=press-shop``,
``machine=p4``, ``site=north``, ``unit=mm/s``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta


class Format(StrEnum):
    """What the bytes of a payload are."""

    AUTO = "auto"
    PLAIN = "plain"
    JSON = "json"
    RAW = "raw"
    SPARKPLUG_B = "sparkplug_b"
    INFLUX = "influx"
    CLOUDEVENTS = "cloudevents"


class TimeUnit(StrEnum):
    """What a number in a time field counts. `auto` judges a number by its magnitude."""

    AUTO = "auto"
    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"
    RFC3339 = "rfc3339"


class Leaves(StrEnum):
    """Which leaves of an object become readings."""

    NUMBERS = "numbers"
    ALL = "all"


class MappingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One declared mapping from topics to readings."""

    topic: Annotated[
        str,
        Meta(
            description="Topic filter. A level is a literal, `{name}` (becomes a label, or part of the "
            "series name), `+`, or a last `#`; `{name}` may stand inside a level, as in `dev-{id}`.",
            min_length=1,
            max_length=1024,
        ),
    ]
    format: Annotated[Format, Meta(description="What the payload is. `auto` looks at each payload.")] = (
        Format.AUTO
    )
    value: Annotated[
        str,
        Meta(
            description="JSON path of the value: `$`, `$.a.b`, `$['a b'][0]`. An object there means that "
            "each of its leaves becomes a series. Empty: `value`, then `v`, else the whole object."
        ),
    ] = ""
    values: Annotated[
        dict[str, str],
        Meta(
            description="Several values of one payload: name = JSON path. A path that is absent gives no "
            "reading."
        ),
    ] = {}
    array: Annotated[
        str,
        Meta(
            description="JSON path of an array; each element is a reading, and the other paths start in it."
        ),
    ] = ""
    interval_s: Annotated[
        float,
        Meta(
            description="Seconds between the elements of an array without times of their own.",
            ge=0,
            le=86_400,
        ),
    ] = 0.0
    time: Annotated[
        str,
        Meta(description="JSON path of the device time. Empty: `ts`, `timestamp`, `time`, `t`, if there."),
    ] = ""
    time_unit: Annotated[TimeUnit, Meta(description="What a number in the time field counts.")] = (
        TimeUnit.AUTO
    )
    sequence: Annotated[
        str, Meta(description="JSON path of a declared sequence number (whole, not negative). Empty: none.")
    ] = ""
    series: Annotated[
        str,
        Meta(
            description="Template of the series name: text, `{placeholder}` of the topic, `{topic}`, and "
            "`{$.path}` of the payload. Leaves add `/leaf`. Empty: the topic."
        ),
    ] = ""
    unit: Annotated[str, Meta(description="Unit of the values; becomes the label `unit`.", max_length=32)] = (
        ""
    )
    labels: Annotated[
        dict[str, str],
        Meta(description="Further labels; a value may use the same placeholders as `series`."),
    ] = {}
    leaves: Annotated[
        Leaves,
        Meta(description="`numbers`: numeric and boolean leaves become readings. `all`: text leaves too."),
    ] = Leaves.NUMBERS
    booleans: Annotated[
        dict[str, bool],
        Meta(description="Words that are booleans here, as in `{ ON = true, OFF = false }`."),
    ] = {}


class FormatLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds on one payload; beyond them it goes to quarantine."""

    max_payload_bytes: Annotated[
        int, Meta(description="Longest payload that is decoded, in bytes.", ge=1)
    ] = 1 << 20
    max_text_bytes: Annotated[int, Meta(description="Longest text or raw value, in bytes.", ge=1)] = 64 << 10
    max_readings: Annotated[int, Meta(description="Most readings of one payload.", ge=1)] = 10_000
    max_depth: Annotated[int, Meta(description="Deepest nesting that is walked.", ge=1, le=64)] = 16
    max_name_chars: Annotated[
        int, Meta(description="Longest series name, label name or label value.", ge=1, le=1024)
    ] = 512
    max_labels: Annotated[int, Meta(description="Most labels of one series.", ge=0)] = 32
    max_topics: Annotated[
        int, Meta(description="Topics whose plan is remembered; the oldest goes.", ge=1)
    ] = 65_536
