"""Blocks that a restored parent lost: who asked what became of them, and what the books say of it.

```
 child ──tombstones "lost by restore", hops 0──► parent that went back ──hops 1──► ... ──► root: key table
   books: committed -> unknown                     books: restored = unknown                    │
 child ◄── Settled ── the same relays, by this table, durable at each ◄── held or lost ─────────┘
   books of both: unknown -> held_above or lost_by_restore
```
Laws
    1. A question is of an exact range of one (origin, epoch, class); a verdict may cover a part, which is cut
       off with its own readings and bytes.
    2. A verdict that says nothing new changes nothing: it may come any number of times.
    3. "Lost" may become "held" (the blocks were under way by another road), never the other way round.
    4. Only the child that asked and the parent that went back book it; relays above pass it on.

Where only the sum of a range is known (its headers had left the newest 100,000) a part gets its share of the
sum by number of blocks; the whole is exact.

State section (owner "verdicts"), msgpack: `Asked` or `Decided`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from headland.link.contract import DraftLike, GapRange, Verdict
from headland.vocabulary import Account, Reason
from headland.vocabulary.stored import read_back, read_snapshot

OWNER = "verdicts"
HERE = ""
"""In place of a child's name: this node itself asked its parent."""
QUESTIONS_MAX = 100_000
"""Ranges remembered; beyond it the oldest that are settled go, after which "lost" cannot become "held"."""
VERSION = 1
_UNKNOWN, _LOST, _HELD = 0, 1, 2
_ACCOUNTS = {
    _UNKNOWN: Account.UNKNOWN_BY_RESTORE,
    _LOST: Account.LOST_BY_RESTORE,
    _HELD: Account.HELD_ABOVE,
}


class Question(msgspec.Struct, frozen=True, array_like=True):
    """What became of these blocks?

    Attributes:
        child: Direct child that asked, or `HERE`.
        origin: Origin node.
        epoch: The origin's epoch.
        priority: Class.
        k_from: First block.
        k_to: Last block.
        readings: In all of them.
        payload_bytes: In all of them.
        each: (readings, payload bytes) of each, or nothing.
        booked: Whether this node's books speak of it.
        state: 0 unknown, 1 lost, 2 held above.
    """

    child: str
    origin: str
    epoch: bytes
    priority: int
    k_from: int
    k_to: int
    readings: int
    payload_bytes: int
    each: tuple[tuple[int, int], ...]
    booked: bool
    state: int = _UNKNOWN

    @property
    def settled(self) -> bool:
        """Whether an ancestor has spoken."""
        return self.state != _UNKNOWN

    @property
    def lost(self) -> bool:
        """Whether nobody has them, as far as is known."""
        return self.state == _LOST

    @property
    def held(self) -> bool:
        """Whether an ancestor has them."""
        return self.state == _HELD


class Asked(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """Questions that came up."""

    questions: tuple[Question, ...]


class Decided(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """Verdicts that came down, or that the key table of this root gave."""

    verdicts: tuple[Verdict, ...]


class _Snapshot(msgspec.Struct, array_like=True):
    version: int
    questions: list[Question]


_Identity = tuple[str, bytes, int]
_records: msgspec.msgpack.Decoder[Asked | Decided] = msgspec.msgpack.Decoder(Asked | Decided)
_snapshots = msgspec.msgpack.Decoder(_Snapshot)
_encoder = msgspec.msgpack.Encoder()


class Verdicts:
    """Questions of one node, and their answers."""

    def __init__(self) -> None:
        self._by: dict[_Identity, list[Question]] = {}
        self._count = 0

    def questions(self) -> list[Question]:
        """Every range, settled or not."""
        return [item for items in self._by.values() for item in items]

    def covers(self, origin: str, epoch: bytes, priority: int, k: int) -> bool:
        """Whether a block that is lost as far as is known is this one."""
        items = self._by.get((origin, epoch, priority), ())
        return any(item.k_from <= k <= item.k_to and item.state == _LOST for item in items)

    def asked(self, child: str, ranges: Sequence[GapRange], draft: DraftLike) -> None:
        """Tombstones of a child (or, `HERE`, this node's own) ask what became of blocks."""
        questions = []
        for item in ranges:
            if item.reason != Reason.LOST_BY_RESTORE or item.k_to < item.k_from:
                continue
            mine = child != HERE and item.hops == 0
            if mine:
                for account in (Account.RESTORED, Account.UNKNOWN_BY_RESTORE):
                    draft.book(account, "", item.priority, "", item.readings, item.payload_bytes)
            questions.append(
                Question(
                    child, item.origin, item.epoch, item.priority, item.k_from, item.k_to,
                    item.readings, item.payload_bytes, _each(item), mine or child == HERE,
                )
            )  # fmt: skip
        if questions:
            self._write(Asked(tuple(questions)), draft)

    def decided(self, verdicts: Sequence[Verdict], draft: DraftLike) -> dict[str, list[Verdict]]:
        """Take verdicts: book what is this node's; returns what each direct child has to be told."""
        changed = self._write(Decided(tuple(verdicts)), draft)
        tell: dict[str, list[Verdict]] = {}
        for before, after in changed:
            if after.booked:
                amount = after.readings, after.payload_bytes
                draft.book(_ACCOUNTS[before], "", after.priority, "", -amount[0], -amount[1])
                draft.book(_ACCOUNTS[after.state], "", after.priority, "", *amount)
            if after.child != HERE:
                tell.setdefault(after.child, []).append(
                    Verdict(after.origin, after.epoch, after.priority, after.k_from, after.k_to, after.held)
                )
        return tell

    # ── durability ──────────────────────────────────────────────────────────────────────────────────────────

    def _write(self, record: Asked | Decided, draft: DraftLike) -> list[tuple[int, Question]]:
        draft.state(OWNER, _encoder.encode(record))
        return self._apply(record)

    def replay(self, data: bytes) -> None:
        """One STATE section.

        Raises:
            StorageDamage: It does not decode.
        """
        self._apply(read_back(_records, data, "verdicts"))

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        return _encoder.encode(_Snapshot(VERSION, self.questions()))

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot.

        Raises:
            StorageDamage: It is not one, or a newer version's.
        """
        dumped = read_snapshot(_snapshots, data, "verdicts", VERSION)
        self._by.clear()
        self._count = 0
        self._add(dumped.questions)

    def _apply(self, record: Asked | Decided) -> list[tuple[int, Question]]:
        """Change the table; (state before, part) of every part whose state is another now."""
        if isinstance(record, Asked):
            self._add(record.questions)
            self._bound()
            return []
        changed: list[tuple[int, Question]] = []
        for verdict in record.verdicts:
            identity = (verdict.origin, verdict.epoch, verdict.priority)
            items = self._by.get(identity)
            if items is None:
                continue
            parts = [part for item in items for part in _decide(item, verdict, changed)]
            self._count += len(parts) - len(items)
            self._by[identity] = parts
        return changed

    def _add(self, questions: Sequence[Question]) -> None:
        for item in questions:
            self._by.setdefault((item.origin, item.epoch, item.priority), []).append(item)
        self._count += len(questions)

    def _bound(self) -> None:
        if self._count <= QUESTIONS_MAX:
            return
        surplus = self._count - QUESTIONS_MAX * 7 // 8
        for identity, items in list(self._by.items()):
            kept = [item for item in items if not item.settled]
            surplus -= len(items) - len(kept)
            self._count -= len(items) - len(kept)
            if kept:
                self._by[identity] = kept
            else:
                del self._by[identity]
            if surplus <= 0:
                return


def _each(item: GapRange) -> tuple[tuple[int, int], ...]:
    """Amounts block by block, if they are what the range says."""
    if len(item.each) != item.k_to - item.k_from + 1:
        return ()
    sums = sum(readings for readings, _ in item.each), sum(size for _, size in item.each)
    return item.each if sums == (item.readings, item.payload_bytes) else ()


def _decide(item: Question, verdict: Verdict, changed: list[tuple[int, Question]]) -> Iterator[Question]:
    """The question, cut where the verdict begins and ends; what changed goes to `changed`."""
    state = _HELD if verdict.held else _LOST
    low, high = max(item.k_from, verdict.k_from), min(item.k_to, verdict.k_to)
    if low > high or item.state >= state:
        yield item
        return
    edges = (item.k_from, low, high + 1, item.k_to + 1)
    for at, end in pairwise(edges):
        if at == end:
            continue
        part = _part(item, at, end - 1)
        if at == low:
            part = msgspec.structs.replace(part, state=state)
            changed.append((item.state, part))
        yield part


def _part(item: Question, k_from: int, k_to: int) -> Question:
    """The blocks k_from to k_to of a question, with their own amounts or their share."""
    i, j, blocks = k_from - item.k_from, k_to + 1 - item.k_from, item.k_to - item.k_from + 1
    each = item.each[i:j]
    if item.each:
        readings, size = sum(one for one, _ in each), sum(one for _, one in each)
    else:
        readings = item.readings * j // blocks - item.readings * i // blocks
        size = item.payload_bytes * j // blocks - item.payload_bytes * i // blocks
    return msgspec.structs.replace(
        item, k_from=k_from, k_to=k_to, readings=readings, payload_bytes=size, each=each
    )
