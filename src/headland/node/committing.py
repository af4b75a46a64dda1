"""Group commit: the open draft, the one commit in flight, and who waits for which number.

Laws

* At most one commit is in flight. What arrives meanwhile shares the next.
* A draft is closed on a tick, never inside the handling of what filled it: everything that the sockets hold
  at that moment gets into the same fsync.
* Commits begin at least a gap apart. Clients that a commit answers send again within moments: the next waits
  until as many messages have come as the last one held, but not longer than one gap after that was durable.
* `release` hands out whatever waits for a number only when that number is durable, in the order in which
  it was put in.
* A draft that holds nothing but drop counts waits up to `BOOKS_WAIT_NS`.
* When a preallocation finds no space the same plan is tried again every `RETRY_NS`; nothing is acknowledged
  meanwhile, and the next draft goes on filling (its bound is the node's concern).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from headland.journal import DiskOp, Draft
from headland.vocabulary import DefectError, Instant

BOOKS_WAIT_NS = 1_000_000_000
RETRY_NS = 1_000_000_000

T = TypeVar("T")


class Committing(Generic[T]):
    """Bookkeeping of the commit cycle; the node closes drafts and builds frames.

    Attributes:
        draft: The open commit.
        durable_n: Newest commit that is on disk.
        in_flight: Number of the commit under way, or None.
        stalled: Whether it found no space.
        commits: How many this process has made.
        opened_ns: Monotonic time of the first write into the draft, or None.
        arrived: Messages of clients that came while this draft was open.
    """

    def __init__(self, durable_n: int, gap_ns: int) -> None:
        self.durable_n = durable_n
        self.draft = Draft(durable_n + 1)
        self.in_flight: int | None = None
        self.stalled = False
        self.commits = 0
        self.opened_ns: int | None = None
        self._begun_ns = 0
        self._gap_ns = gap_ns
        self._plan: Sequence[DiskOp] = ()
        self._closed_ns = -gap_ns
        self._durable_ns = -gap_ns
        self.arrived = 0
        self._expected = 0
        self._books_since_ns: int | None = None
        self._retry_ns = 0
        self._waiting: deque[tuple[int, T]] = deque()

    def due_ns(self, now: Instant) -> int | None:
        """Monotonic time at which the draft should be closed (or the stalled plan tried again)."""
        if self.stalled:
            return self._retry_ns
        if self.in_flight is not None or self.draft.empty:
            return None
        if self.draft.only_books:
            if self._books_since_ns is None:
                self._books_since_ns = now.monotonic_ns
            return self._books_since_ns + BOOKS_WAIT_NS
        since_ns = self._closed_ns if self.arrived >= self._expected else self._durable_ns
        return since_ns + self._gap_ns

    def closed(self, plan: Sequence[DiskOp], now: Instant) -> int:
        """The draft has become a frame: it is in flight, and the next draft is open."""
        if self.in_flight is not None:
            raise DefectError("two commits in flight")
        n = self.draft.n
        self.in_flight = n
        self._begun_ns = self.opened_ns if self.opened_ns is not None else now.monotonic_ns
        self.opened_ns = None
        self._plan = plan
        self._closed_ns = now.monotonic_ns
        self._expected, self.arrived = self.arrived, 0
        self._books_since_ns = None
        self.draft = Draft(n + 1)
        return n

    def touched(self, now: Instant) -> None:
        """Something was handled: if the draft holds anything, its oldest reading is at least this old."""
        if self.opened_ns is None and not self.draft.empty:
            self.opened_ns = now.monotonic_ns

    def waited_ns(self, now: Instant) -> int:
        """How long the oldest reading of the commit in flight has waited since it was read."""
        return now.monotonic_ns - self._begun_ns

    def committed(self, n: int, now: Instant) -> None:
        """Commit `n` is on disk."""
        if n != self.in_flight:
            raise DefectError(f"commit {n} reported, {self.in_flight} is in flight")
        self.in_flight = None
        self.stalled = False
        self.durable_n = n
        self._durable_ns = now.monotonic_ns
        self.commits += 1
        self._plan = ()

    def no_space(self, n: int, now: Instant) -> None:
        """Commit `n` found no space; it is tried again later."""
        if n != self.in_flight:
            raise DefectError(f"commit {n} failed, {self.in_flight} is in flight")
        self.stalled = True
        self._retry_ns = now.monotonic_ns + RETRY_NS

    def retry(self) -> tuple[int, Sequence[DiskOp]]:
        """The stalled plan, once more."""
        assert self.in_flight is not None
        self.stalled = False
        return self.in_flight, self._plan

    def wait(self, needs_n: int, what: T) -> bool:
        """Let `what` wait for a commit; False when that commit is durable already (nothing was queued)."""
        if needs_n <= self.durable_n:
            return False
        self._waiting.append((needs_n, what))
        return True

    def release(self) -> list[T]:
        """Everything that waited for a commit that is durable now, in order."""
        waiting = self._waiting
        out: list[T] = []
        while waiting and waiting[0][0] <= self.durable_n:
            out.append(waiting.popleft()[1])
        return out
