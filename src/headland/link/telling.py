"""Verdicts on their way down: durable here, sent until the child has noted them.

A child that knows nothing of verdicts skips the frame and never notes; what is kept for it is bounded
(`headland.link.positions.VERDICTS_MAX`).
"""

from __future__ import annotations

from collections.abc import Sequence

from headland.link import protocol
from headland.link.contract import DraftLike, Verdict
from headland.link.downlink import ChildLink
from headland.link.positions import ChildState, Hears, Positions, Told

AT_ONCE = 1000
"""Verdicts in one message."""


class Telling:
    """What children are told of blocks that a restored parent had lost."""

    def __init__(self, positions: Positions) -> None:
        self._positions = positions
        self._drafted: list[tuple[int, str, int]] = []

    def tell(self, child: str, verdicts: Sequence[Verdict], draft: DraftLike) -> None:
        """Verdicts for a direct child; they leave when this commit is durable."""
        state = self._positions.child(child)
        for at in range(0, len(verdicts), AT_ONCE):
            part = tuple(verdicts[at : at + AT_ONCE])
            self._positions.write(Told(child, state.told + 1, part), draft)
            self._drafted.append((draft.n, child, state.told))

    def noted(self, child: ChildState, number: int, draft: DraftLike) -> None:
        """The child has verdicts up to `number` on its disk."""
        if any(item.number <= number for item in child.verdicts):
            self._positions.write(Hears(child.name, number), draft)

    def committed(self, n: int) -> None:
        """Commits up to n are durable."""
        self._drafted = [item for item in self._drafted if item[0] > n]

    def put(self, link: ChildLink, child: ChildState) -> None:
        """Send what is durable and was not sent on this connection."""
        waits = min((number for _, name, number in self._drafted if name == child.name), default=None)
        for item in child.verdicts:
            if item.number > link.verdicts_told and (waits is None or item.number < waits):
                protocol.put(link.out, protocol.Settled(item.number, item.verdicts))
                link.verdicts_told = item.number
