"""Why a node takes nothing in, as it says it in the log, the status, the metrics and to `/readyz`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from headland.node.core import Node

Cause = Literal["disk_budget", "file_system", "no_space"]
CAUSES: tuple[Cause, ...] = ("disk_budget", "file_system", "no_space")


class Refusal(msgspec.Struct, frozen=True):
    """Nothing more is taken in.

    Attributes:
        cause: disk_budget: what may be used is used up. file_system: others leave less than the reserve.
            no_space: a commit finds no space at all.
        detail: In words.
    """

    cause: Cause
    detail: str


FILE_SYSTEM = Refusal("file_system", "the file system is all but full")
NO_SPACE = Refusal("no_space", "no space is left on the file system")
BUDGET = Refusal("disk_budget", "the disk budget is used up")


def refusal_of(node: Node) -> Refusal | None:
    """Why the node takes nothing in now; None when it takes readings in."""
    return NO_SPACE if node.commits.stalled else node.refusal
