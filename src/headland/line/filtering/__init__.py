"""Smart filtering: what goes north at once, what goes in batches, what stays."""

from headland.line.filtering.boost import Boost
from headland.line.filtering.deadband import DeadBand
from headland.line.filtering.keep import Drop, Keep
from headland.line.filtering.plugin import Plugin
from headland.line.filtering.severity import Severity
from headland.line.filtering.shape import (
    Desk,
    Filter,
    FilterConfig,
    Loss,
    OpenCommit,
    Plan,
    Row,
    Rows,
)
from headland.line.filtering.summary import Summary
from headland.line.filtering.vibration import Band, Vibration

FilterKind = Keep | Drop | DeadBand | Summary | Severity | Vibration | Boost | Plugin
"""Every filter that a configuration can name by its `kind`."""

__all__ = [
    "Band",
    "Boost",
    "DeadBand",
    "Desk",
    "Drop",
    "Filter",
    "FilterConfig",
    "FilterKind",
    "Keep",
    "Loss",
    "OpenCommit",
    "Plan",
    "Plugin",
    "Row",
    "Rows",
    "Severity",
    "Summary",
    "Vibration",
]
