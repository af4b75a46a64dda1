"""How long blocks take from their commit here to the parent's answer, per class.

A mark is put at the last position of a stream that a commit made durable, with its moment; when the parent
has answered up to it, every block since the mark before is observed. Blocks of earlier processes are not
measured.

Bounds: `MARKS_MAX` marks a stream. Beyond it neighbours are joined, and so are the commits that follow, twice
as many each time: their blocks take the moment of the first. The error stays a small share of the wait.
"""

from __future__ import annotations

from collections import deque

from headland.line.outbox import Outbox
from headland.line.stages import FORWARD, Cause, StageName, Stages
from headland.link.contract import StreamKey
from headland.node.settings import NodeSettings
from headland.vocabulary import Instant, Lane

MARKS_MAX = 4096


class _Marks:
    """Of one stream: (last position, moment of the commit that made it durable), and where they begin."""

    __slots__ = ("_joined", "_stride", "answered", "marks", "noted")

    def __init__(self, answered: int) -> None:
        self.answered = self.noted = answered
        self.marks: deque[tuple[int, int]] = deque()
        self._stride = 1
        self._joined = 1

    def put(self, p: int, now_ns: int) -> None:
        """Positions up to p are durable."""
        self.noted = p
        if not self.marks:
            self._stride = self._joined = 1
        elif self._joined < self._stride:
            self._joined += 1
            self.marks[-1] = p, self.marks[-1][1]
            return
        self._joined = 1
        self.marks.append((p, now_ns))
        if len(self.marks) > MARKS_MAX:
            pairs = list(self.marks)
            if len(pairs) % 2:
                pairs.append(pairs[-1])
            self.marks = deque(
                (later[0], older[1]) for older, later in zip(pairs[::2], pairs[1::2], strict=True)
            )
            self._stride *= 2

    def take(self, p: int) -> list[tuple[int, int]]:
        """Blocks that an answer up to p covers: (how many, moment of their commit)."""
        out = []
        while self.marks and self.answered < p:
            last, at_ns = self.marks[0]
            upto = min(p, last)
            if upto > self.answered:
                out.append((upto - self.answered, at_ns))
            self.answered = upto
            if last > p:
                break
            self.marks.popleft()
        return out


class Forwarding:
    """Measures; decides nothing."""

    def __init__(self) -> None:
        self._marks: dict[StreamKey, _Marks] = {}

    def committed(self, outbox: Outbox, now: Instant) -> None:
        """A commit is durable: what it made sendable begins to wait."""
        current = outbox.state.current
        for stream in current.streams.values() if current is not None else ():
            marks = self._marks.get(stream.key)
            if marks is None:
                if stream.durable <= stream.acked:
                    continue
                marks = self._marks[stream.key] = _Marks(stream.acked)
            if stream.durable > marks.noted:
                marks.put(stream.durable, now.monotonic_ns)

    def answered(self, outbox: Outbox, stages: Stages | None, reached_ns: int | None, now: Instant) -> None:
        """The parent has said something; `reached_ns` is when the link came up last."""
        for key, marks in self._marks.items():
            if not marks.marks:
                continue
            stream = outbox.state.find(key)
            acked = stream.acked if stream is not None else 0
            for times, at_ns in marks.take(acked):
                if stages is not None:
                    cause = _cause(key, at_ns, reached_ns)
                    stages[FORWARD[key.priority]].observe(now.monotonic_ns - at_ns, cause, times)


def _cause(key: StreamKey, at_ns: int, reached_ns: int | None) -> Cause:
    """Where the time went, should it be too much."""
    if reached_ns is None or at_ns < reached_ns:
        return Cause.LINK
    return Cause.WAITED if key.lane == Lane.BACKLOG else Cause.PARENT


def budgets_ms(settings: NodeSettings) -> dict[str, float]:
    """Budgets of the stages that are configured, by name of the stage."""
    budgets = {str(StageName.DECIDE): settings.decide_budget_ms}
    for name, row in zip(FORWARD, settings.outbox.classes, strict=True):
        budgets[str(name)] = row.initial_timeout_s * 1000
    return budgets
