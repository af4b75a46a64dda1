"""Ingest: recognise what was sent twice, check event times, mark what the clock cannot vouch for.

Laws:

* Only the payload proves a repeat. A row of a publish marked DUP = 1 is a duplicate when a row with the same
  series, device time, sequence and value was taken before; packet identifiers prove nothing.
* A row without device time and sequence can never be proved a repeat; it is counted as suspected and taken.
* The newest 1,000 rows of each client are compared, at most 131,072 in all; clients idle longest are
  forgotten first. They are indexed when a client first repeats itself, and each row once from then on: a
  repeat costs what its own rows cost. Rows that a recovery brought back (at most 65,536) may be repeated by
  any client. Nothing is written for it: the rows are those that were taken, and a recovery brings the
  committed back.
* Event times outside [-10 years, +1 h] of a trusted clock are taken, flagged, and placed by node time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import msgspec

from headland.line.filtering.shape import Rows
from headland.line.newest import KEYS_PER_CLIENT, Newest, Taken, packed, trim
from headland.line.taken import Key, Recovered, key_of
from headland.vocabulary import NO_SEQUENCE, NO_TIME, Batch, DefectError, Instant, RowFlag, Value

KEYS_IN_ALL = 131_072
PAST_NS = 10 * 365 * 86_400 * 1_000_000_000
FUTURE_NS = 3_600 * 1_000_000_000


class Senders(msgspec.Struct, frozen=True):
    """Who sent the messages of a batch.

    Attributes:
        clients: One after the other.
        ends: For each, the index after its last message.
    """

    clients: Sequence[str]
    ends: Sequence[int]


class Admitted(msgspec.Struct, gc=False):
    """A batch after ingest.

    Attributes:
        rows: What is to be judged.
        duplicates: Indices into the batch that were proved repeats.
        duplicates_n: Commit that the repeats rest on.
        suspected: Rows marked as repeats that cannot be proved.
        implausible: Whether any row carries TIME_IMPLAUSIBLE.
        timeless: Whether any row has no device time.
    """

    rows: Rows
    duplicates: list[int] = []
    duplicates_n: int = 0
    suspected: int = 0
    implausible: bool = False
    timeless: bool = False


class Ingest:
    """Index of recent rows per client, and the checks."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, Newest] = OrderedDict()
        self._total = 0
        self._recovered = Recovered()
        self.suspected = 0

    def admit(
        self, senders: Senders, batch: Batch, now: Instant, n: int, node_ns: int, suspects: list[bool] | None
    ) -> Admitted:
        """Check a batch; `suspects`: for each message, whether it was marked as a repeat (None: no marks).

        Raises:
            DefectError: A batch of several senders has marks.
        """
        rows = Rows(batch.sid, batch.ts, batch.ts, batch.value, batch.size, batch.seq, None)
        if batch.severity is not None:
            rows.flags = [severity << RowFlag.SEVERITY_SHIFT for severity in batch.severity]
        admitted = Admitted(rows)
        if suspects is not None:
            stops = [batch.message_ends[end - 1] for end in senders.ends]
            if True in suspects:
                if len(stops) > 1:
                    raise DefectError("repeats of several senders in one batch")
                self._find_repeats(senders.clients[0], batch, suspects, n, admitted)
                rows = admitted.rows
                stops = [len(rows.sid)]
            if rows.sid:
                self._remember(senders.clients, stops, rows, n)
        if rows.sid:
            self._check_times(admitted, now, node_ns)
        return admitted

    def _check_times(self, admitted: Admitted, now: Instant, node_ns: int) -> None:
        rows = admitted.rows
        ts = rows.ts
        first = min(ts)
        admitted.timeless = first == NO_TIME
        if now.trusted:
            floor, limit = now.wall_ns - PAST_NS, now.wall_ns + FUTURE_NS
            if max(ts) > limit or (first < floor and any(NO_TIME < one < floor for one in ts)):
                admitted.implausible = True
                own = rows.flags or [0] * len(ts)
                mark = RowFlag.TIME_IMPLAUSIBLE
                rows.flags = [
                    flag if one == NO_TIME or floor <= one <= limit else flag | mark
                    for flag, one in zip(own, ts, strict=True)
                ]
                rows.when = [one if one != NO_TIME and floor <= one <= limit else node_ns for one in ts]
                return
        else:
            mark = RowFlag.CLOCK_UNTRUSTED
            rows.flags = [mark] * len(ts) if rows.flags is None else [flag | mark for flag in rows.flags]
        if admitted.timeless:
            rows.when = [node_ns if one == NO_TIME else one for one in ts]

    def _find_repeats(
        self, client: str, batch: Batch, suspects: list[bool], n: int, admitted: Admitted
    ) -> None:
        newest = self._clients.get(client)
        known: OrderedDict[Key, int] = newest.keys() if newest is not None else OrderedDict()
        seq = batch.seq
        repeats: list[int] = []
        start = 0
        for end, suspect in zip(batch.message_ends, suspects, strict=True):
            for i in range(start, end):
                number = NO_SEQUENCE if seq is None else seq[i]
                key = key_of(batch.sid[i], batch.ts[i], number, batch.value[i])
                if suspect:
                    if batch.ts[i] == NO_TIME and number == NO_SEQUENCE:
                        admitted.suspected += 1
                        continue
                    first = known.get(key)
                    if first is None:
                        first = self._recovered.commit_of(key)
                    if first is not None:
                        repeats.append(i)
                        admitted.duplicates_n = max(admitted.duplicates_n, first)
                        continue
                known[key] = n
                known.move_to_end(key)
            start = end
        trim(known)
        self.suspected += admitted.suspected
        if repeats:
            admitted.duplicates = repeats
            gone = set(repeats)
            admitted.rows = admitted.rows.take([i for i in range(len(batch.sid)) if i not in gone])

    def _remember(self, clients: Sequence[str], stops: list[int], rows: Rows, n: int) -> None:
        """Index the rows of each client; `stops`: where in the rows those of each end."""
        known = self._clients
        taken, width = packed(rows, n)
        start = 0
        for client, stop in zip(clients, stops, strict=True):
            newest = known.get(client)
            if newest is None:
                newest = known[client] = Newest()
            else:
                known.move_to_end(client)
            if stop > start:
                before = newest.count
                start = max(start, stop - KEYS_PER_CLIENT)
                newest.extend(stop - start, taken[width * start : width * stop])
                self._total += newest.count - before
            start = stop
        while self._total > KEYS_IN_ALL and len(known) > 1:
            _, idle = known.popitem(last=False)
            self._total -= idle.count

    def recovered(
        self, n: int, sid: list[int], ts: list[int], seq: list[int] | None, value: list[Value]
    ) -> None:
        """Index committed readings of a recovered frame."""
        self._recovered.add(n, sid, ts, seq, value)

    def prepare(self) -> None:
        """Index what a recovery brought back, at its end, so that no client waits for it."""
        self._recovered.prepare()

    def snapshot(self) -> Any:
        """The index, for a checkpoint, oldest commit first."""
        commits: dict[int, list[Taken]] = {}
        for newest in self._clients.values():
            for one in newest.taken():
                commits.setdefault(one[4], []).append(one)
        chunks = self._recovered.kept()
        for n, rows in sorted(commits.items()):
            sid, ts, seq, value, _ = map(list, zip(*rows, strict=True))
            chunks.append([n, sid, ts, seq, value])
        return sorted(chunks, key=itemgetter(0))

    def restore(self, state: Any) -> None:
        """Take over an index; all of it counts as recovered."""
        for n, sid, ts, seq, value in state:
            self.recovered(n, sid, ts, seq, value)
