"""Errors where readings come in: repeats, dead bands, what is held and what it rests on."""

from __future__ import annotations

from typing import Any

from tests.simulation.mutants.patching import Garden, Patch

from headland.line.filtering.deadband import DeadBandFilter
from headland.line.filtering.shape import KEEP_LATE
from headland.line.ingest import Ingest
from headland.line.line import Line
from headland.mqtt.surface import PublishRun
from headland.node.core import Node
from headland.vocabulary import NO_TIME, RowClass

garden = Garden("ingest")


@garden.mutant(
    "2.4: only the payload proves a repeat; here the DUP mark does", scenario="crashes", seeds=(1,)
)
def mark_proves_a_repeat(patch: Patch) -> None:
    def find(self: Ingest, client: str, batch: Any, suspects: list[bool], n: int, admitted: Any) -> None:
        start, repeats = 0, []
        for end, suspect in zip(batch.message_ends, suspects, strict=True):
            repeats += range(start, end) if suspect else ()
            start = end
        admitted.duplicates, admitted.duplicates_n = repeats, n
        gone = set(repeats)
        admitted.rows = admitted.rows.take([i for i in range(len(batch.sid)) if i not in gone])

    patch.put(Ingest, "_find_repeats", find)


@garden.mutant(
    "2.4: packet id and mark are no proof; here a client that uses an id again is not heard",
    scenario="clients",
    seeds=(3,),
)
def repeat_is_matched_by_packet_id(patch: Patch) -> None:
    known: dict[tuple[int, str], set[int]] = {}

    def judge(self: Node, run: PublishRun) -> Any:
        start = 0
        again: list[bool] = []
        for client, stop in zip(run.clients, run.ends, strict=True):
            seen = known.setdefault((id(self), client), set())
            again += [run.dup[i] and run.packet_ids[i] in seen for i in range(start, stop)]
            seen.update(run.packet_ids[start:stop])
            start = stop
        ingest = self.parts.intake.line._ingest
        ingest.by_id = again  # type: ignore[attr-defined]
        return original(self, run)

    def find(self: Ingest, client: str, batch: Any, suspects: list[bool], n: int, admitted: Any) -> None:
        before(self, client, batch, suspects, n, admitted)
        start = 0
        gone = set(admitted.duplicates)
        for end, again in zip(batch.message_ends, self.by_id, strict=True):  # type: ignore[attr-defined]
            gone.update(range(start, end) if again else ())
            start = end
        admitted.duplicates, admitted.duplicates_n = sorted(gone), n
        keep = [i for i in range(len(batch.sid)) if i not in gone]
        batch_rows = type(admitted.rows)(
            batch.sid, batch.ts, batch.ts, batch.value, batch.size, batch.seq, None
        )
        admitted.rows = batch_rows.take(keep)

    original = patch.put(Node, "_judge", judge)
    before = patch.put(Ingest, "_find_repeats", find)


@garden.mutant("2.4: a repeat is stored once; here a mark is not looked at", scenario="crashes", seeds=(5,))
def repeats_are_stored_again(patch: Patch) -> None:
    patch.put(Ingest, "_find_repeats", lambda self, *arguments: None)


@garden.mutant(
    "2.4: the newest rows are indexed, and a recovery brings them back; here it does not",
    scenario="crashes",
    seeds=(2,),
)
def index_of_repeats_is_lost_at_a_restart(patch: Patch) -> None:
    patch.put(Ingest, "recovered", lambda self, *arguments: None)


@garden.mutant(
    "2.1: a repeat is acknowledged when the first copy is durable; here at once",
    scenario="clients",
    seeds=(2,),
)
def repeat_rests_on_nothing(patch: Patch) -> None:
    def find(self: Ingest, client: str, batch: Any, suspects: list[bool], n: int, admitted: Any) -> None:
        original(self, client, batch, suspects, n, admitted)
        admitted.duplicates_n = 0

    def book(self: Line, batch: Any, repeats: Any, desk: Any) -> None:
        wrote = desk.wrote
        before(self, batch, repeats, desk)
        if not wrote and desk.wrote:
            desk.wrote = False

    original = patch.put(Ingest, "_find_repeats", find)
    before = patch.put(Line, "_book_duplicates", book)


@garden.mutant(
    "5: a dead band judges only what is newer than all that it judged; here an older reading is judged too",
    scenario="clients",
    seeds=(1,),
)
def older_reading_is_dead_banded(patch: Patch) -> None:
    def verdict(self: Any, sid: int, ts: int, when: int, value: Any) -> int:
        newest, self._since[sid] = self._since[sid], NO_TIME
        try:
            return int(original(self, sid, ts, when, value))
        finally:
            self._since[sid] = newest

    original = patch.put(DeadBandFilter, "_verdict", verdict)


@garden.mutant(
    "5: a reading is late when a younger one was judged; here only when the reference is younger",
    scenario="clients",
    seeds=(1,),
)
def dropped_readings_make_nothing_late(patch: Patch) -> None:
    def verdict(self: Any, sid: int, ts: int, when: int, value: Any) -> int:
        self._since[sid] = self._ts[sid]
        return int(original(self, sid, ts, when, value))

    original = patch.put(DeadBandFilter, "_verdict", verdict)


@garden.mutant("5: a late reading does not move the reference; here it does", scenario="clients", seeds=(1,))
def late_reading_moves_the_reference(patch: Patch) -> None:
    def verdict(self: Any, sid: int, ts: int, when: int, value: Any) -> int:
        found = int(original(self, sid, ts, when, value))
        if found == KEEP_LATE:
            self._move(sid, ts, when, value, self._n[sid])
        return found

    original = patch.put(DeadBandFilter, "_verdict", verdict)


@garden.mutant(
    "2.2: dead-band references are rebuilt from rows after a crash; here they are not",
    scenario="filters",
    seeds=(7,),
)
def references_are_not_replayed(patch: Patch) -> None:
    patch.put(DeadBandFilter, "replay", lambda self, rows, verdict, n: None)


@garden.mutant(
    "2.1: a drop rests on the commit of its reference; here on nothing", scenario="shared", seeds=(1,)
)
def drop_rests_on_nothing(patch: Patch) -> None:
    patch.put(DeadBandFilter, "needs", lambda self, sids: 0)


@garden.mutant(
    "2.2: held readings are rebuilt after a crash; here they are not replayed", scenario="filters", seeds=(1,)
)
def held_rows_are_not_replayed(patch: Patch) -> None:
    def replay(self: Line, rows: Any, *rest: Any) -> None:
        original(self, {cls: found for cls, found in rows.items() if cls != RowClass.HELD}, *rest)

    original = patch.put(Line, "replay_frame", replay)


@garden.mutant(
    "2.2: what a checkpoint says of filters is taken over; here filters begin afresh",
    scenario="filters",
    seeds=(1,),
)
def filters_are_not_restored(patch: Patch) -> None:
    def restore(self: Line, data: bytes, now: Any) -> None:
        fresh = type(self)(self.rules, self._table)
        fresh._admit_series()
        kept = self._ingest
        original(self, fresh.snapshot(), now)
        del kept

    original = patch.put(Line, "restore", restore)
