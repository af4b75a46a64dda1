"""Deciding: rules that raise events and act while a reading is young."""

from headland.line.deciding.actuation import Actuation, ActuationKey

__all__ = ["Actuation", "ActuationKey"]
