"""What acknowledgements rest on: for each sender of a batch, the commit that has to be durable first.

Laws:

* A sender whose series were written to rests on the open commit; so does everybody, where something was
  written that is not of one series.
* A sender whose readings were only dropped rests on the newest commit of the state that they were judged
  against, and does not wait for what others wrote.
* A repeat rests on the commit of the row that it repeats.
"""

from __future__ import annotations

from collections.abc import Sequence

from headland.line.filtering import Plan
from headland.line.filtering.shape import Desk
from headland.line.ingest import Admitted, Senders
from headland.vocabulary import Batch


class Resting:
    """Finds it at the price of the few series that are in question, not of all."""

    def __init__(self) -> None:
        self._written: set[int] = set()
        self._written_before: set[int] = set()
        """Series written to in the open commit, and in the one before it."""

    def next_commit(self) -> None:
        """Another commit is open."""
        self._written_before, self._written = self._written, set()

    def needs(
        self, senders: Senders, batch: Batch, admitted: Admitted, desk: Desk, plans: Sequence[Plan]
    ) -> list[int]:
        """One commit a sender, after the batch has been judged.

        Args:
            senders: Who sent the batch.
            batch: The batch as it was offered.
            admitted: What ingest made of it.
            desk: What the filters wrote.
            plans: Plan of every series.
        """
        touched, count = desk.touched, len(senders.ends)
        self._written |= touched
        if desk.for_all or (touched and (count == 1 or touched.issuperset(batch.sid))):
            return [desk.n] * count
        if admitted.duplicates:
            return [max(admitted.duplicates_n, _newest(set(admitted.rows.sid), plans))]
        sids = set(batch.sid) - touched
        fresh = sids & (self._written | self._written_before) if count > 1 else set()
        # Most of it rests on what is durable long since: whoever has nothing newer shares that one number.
        others = _newest(sids - fresh, plans)
        if not touched and not fresh:
            return [others] * count
        needs: list[int] = []
        ends, start = batch.message_ends, 0
        for end in senders.ends:
            stop = ends[end - 1]
            own = batch.sid[start:stop]
            if not touched.isdisjoint(own):
                needs.append(desk.n)
            elif not fresh.isdisjoint(own):
                needs.append(_newest(set(own), plans))
            else:
                needs.append(others)
            start = stop
        return needs


def _newest(sids: set[int], plans: Sequence[Plan]) -> int:
    """The newest commit of the state that drops of these series are judged against."""
    by_plan: dict[Plan, list[int]] = {}
    for sid in sids:
        by_plan.setdefault(plans[sid], []).append(sid)
    return max((one.needs(some) for plan, some in by_plan.items() for one in plan.filters), default=0)
