"""What the children of one node may send together before the next commit, shared among those connected.

What has come and is in no commit yet is in memory, and all of it goes into one frame. So credit is shared:

    window of a class of one connection = together / (4 x connections), at most `window`, at least `LEAST`

What was granted to fewer connections stays granted. More is granted only from what is left of `together`,
but each class of each connection may always have `LEAST`, and a child may always send one block more than it
was granted: nobody waits for the others for good. A child leaves up to a quarter of its credit to its live
blocks; so it is filled up to `LEAST` again when half of that is used, not when nothing is left.
"""

from __future__ import annotations

CLASSES = 4
LEAST = 4 << 10
LEAST_SHARE = 16
"""`LEAST` is at most this part of what all have together."""


class Credit:
    """Bytes that children may still send.

    Attributes:
        given: Granted and not sent, over all connections and classes.
    """

    def __init__(self, window: int, together: int) -> None:
        self.given = 0
        self._window = window
        self.share_out(together)

    def share_out(self, together: int) -> None:
        """Grant so much in all from now on."""
        self._together = together
        self._least = min(LEAST, max(1, together // LEAST_SHARE))

    def share(self, connections: int) -> int:
        """Window of each class of each of so many connections."""
        return max(self._least, min(self._window, self._together // (CLASSES * max(1, connections))))

    def allow(self, wanted: int, unused: int) -> int:
        """How many bytes of those wanted are granted to a class that has so many left; 0 or a good part."""
        allowed = min(wanted, max(self._together - self.given, self._least - unused))
        if allowed < min(wanted, self._least // 2):
            return 0
        self.moved(unused, unused + allowed)
        return allowed

    def moved(self, before: int, after: int) -> None:
        """A class has other bytes left than before: some came, or its connection is gone."""
        self.given += max(0, after) - max(0, before)
