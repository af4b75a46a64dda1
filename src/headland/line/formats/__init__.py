"""Declared mappings from payloads to readings: plain, JSON, Sparkplug B, Influx line protocol, CloudEvents.

`Mapping` is the entrance for topics. Everything is pure; a payload that does not fit gives `Rejected`,
which the node keeps in its bounded quarantine.
"""

from headland.line.formats.config import Format, FormatLimits, Leaves, MappingConfig, TimeUnit
from headland.line.formats.mapping import Mapping
from headland.line.formats.rejection import Rejected, RejectReason, Unfit
from headland.line.formats.sparkplug import RebirthRequest

__all__ = [
    "Format",
    "FormatLimits",
    "Leaves",
    "Mapping",
    "MappingConfig",
    "RebirthRequest",
    "RejectReason",
    "Rejected",
    "TimeUnit",
    "Unfit",
]
