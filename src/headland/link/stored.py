"""What children may be told is applied at the cloud: the hint `stored`.

A root applies what it commits. A relay knows it from its own parent: a block of a child stands at a position
of a stream of the relay's own, and is stored when the relay's parent says so of that position. A mark notes
how far own streams have to be stored for everything that a child sent up to a position to be.

The hint orders what is deleted among what is answered: nothing rests on it, and nothing of it is durable.
After a restart a relay tells of what it takes from then on. A position that was answered with an exception is
passed: its block has another, or waits below.

Bounds: `MARKS_MAX` marks for a child's stream (then neighbours are joined, and the hint comes later), and
`STREAMS_MAX` streams of children (the oldest are forgotten).
"""

from __future__ import annotations

from collections import deque

from headland.link.contract import StreamKey

MARKS_MAX = 1024
STREAMS_MAX = 10_000
ChildStreamKey = tuple[str, StreamKey]
"""A child's name and its stream."""


class StoredAbove:
    """Of one relay."""

    def __init__(self) -> None:
        self._above: dict[StreamKey, int] = {}
        self._upto: dict[ChildStreamKey, int] = {}
        self._marks: dict[ChildStreamKey, deque[tuple[int, dict[StreamKey, int]]]] = {}

    def relayed(self, child: ChildStreamKey, p: int, own: StreamKey, q: int) -> None:
        """What a child sent up to its position p stands in our stream `own` at q or before."""
        marks = self._marks.setdefault(child, deque())
        marks.append((p, {own: q}))
        if len(marks) > MARKS_MAX:
            self._marks[child] = _joined(marks)
        if len(self._marks) > STREAMS_MAX:
            oldest = next(iter(self._marks))
            del self._marks[oldest]
            self._upto.pop(oldest, None)

    def told(self, own: StreamKey, q: int) -> None:
        """The parent says that our stream is stored up to q."""
        self._above[own] = max(q, self._above.get(own, 0))

    def forget(self) -> None:
        """The parent begins anew: what was told before may be of another."""
        self._above.clear()

    def of(self, child: ChildStreamKey) -> int:
        """Position up to which a child's stream is stored; 0 where nothing is known."""
        marks = self._marks.get(child)
        while marks and all(self._above.get(own, 0) >= q for own, q in marks[0][1].items()):
            self._upto[child] = marks.popleft()[0]
        return self._upto.get(child, 0)


def _joined(marks: deque[tuple[int, dict[StreamKey, int]]]) -> deque[tuple[int, dict[StreamKey, int]]]:
    """Each two neighbours as one, which is stored when both are; an odd one stays last."""
    out: deque[tuple[int, dict[StreamKey, int]]] = deque()
    items = iter(marks)
    for _, before in items:
        later = next(items, None)
        if later is None:
            out.append(marks[-1])
            break
        p, after = later
        out.append((p, {own: max(before.get(own, 0), after.get(own, 0)) for own in (*before, *after)}))
    return out
