"""Deciding: rules that raise events and act while a reading is young."""

from headland.line.deciding.actuation import Actuation, ActuationKey, Outcome
from headland.line.deciding.decide import Deciders, Decisions, Raised
from headland.line.deciding.once import Once
from headland.line.deciding.rules import Act, EventRule, Expression, Rate, Reference, Silence, Threshold

__all__ = [
    "Act",
    "Actuation",
    "ActuationKey",
    "Deciders",
    "Decisions",
    "EventRule",
    "Expression",
    "Once",
    "Outcome",
    "Raised",
    "Rate",
    "Reference",
    "Silence",
    "Threshold",
]
