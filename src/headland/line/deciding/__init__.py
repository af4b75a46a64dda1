"""Deciding: rules that raise events and act while a reading is young."""

from headland.line.deciding.actuation import Actuation, ActuationKey
from headland.line.deciding.decide import Deciders, Decisions, Raised
from headland.line.deciding.rules import Act, EventRule, Expression, Rate, Silence, Threshold

__all__ = [
    "Act",
    "Actuation",
    "ActuationKey",
    "Deciders",
    "Decisions",
    "EventRule",
    "Expression",
    "Raised",
    "Rate",
    "Silence",
    "Threshold",
]
