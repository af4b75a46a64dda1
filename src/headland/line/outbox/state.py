"""What an outbox remembers, and the small questions that its parts ask of it."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable
from itertools import chain

import msgspec

from headland.blocks.header import BlockHeader
from headland.line.outbox.records import DeadRun, Letter
from headland.line.outbox.rows import Row
from headland.line.outbox.settings import OutboxSettings
from headland.line.outbox.stream import BacklogFile, Stream
from headland.link.bounds import PAYLOAD_MAX
from headland.link.contract import (
    ANY_GROUP,
    CHAIN_BYTES,
    GROUPS_MAX,
    START,
    DraftLike,
    EpochHello,
    GapRange,
    ParentName,
    Ref,
    StreamHello,
    StreamKey,
)
from headland.vocabulary import NO_TIME, Account

DEAD_RUNS_MAX = 4096
"""Runs in files listed as dead; the oldest makes room, and its file may go."""
GROUP_SETS_MAX = 4096
GROUP_TEXT_MAX = 1 << 20
"""Sets of series groups that are told apart, and characters in them; of others blocks have any group."""
IDENTS_KEPT = 1024
"""Identities that are remembered without any block of theirs; of more the numbers are used again."""
PASSED_MAX = 1 << 14
"""Positions without a block, one behind another, that a history remembers as such."""
DRAINED_EPOCHS_KEPT = 256
"""Epochs without anything unanswered that a handshake still names."""


class Epoch(msgspec.Struct):
    """One of this node's epochs: its predecessor, that one's last commit, and its streams."""

    epoch: bytes
    predecessor: bytes
    predecessor_n: int
    streams: dict[tuple[int, int], Stream]

    @property
    def drained(self) -> bool:
        """Whether every position of every stream has been answered."""
        return all(stream.drained for stream in self.streams.values())


class Waiting(msgspec.Struct, array_like=True):
    """A block between a `Later` and its next attempt, or a dead letter.

    Attributes:
        number: Its name in records and on the command line; never used twice.
        letter: The block.
        priority: Its class.
        lane: Its lane, for good.
        reason: `LaterReason` while it waits, `Reason` when it is dead.
        due_ns: Monotonic time of its next attempt.
    """

    number: int
    letter: Letter
    priority: int
    lane: int
    reason: int
    due_ns: int = 0


class History:
    """Identity, readings and chain value of the newest answered positions of one stream.

    A position that was not committed (`Later`, `Rejected`) counts no readings: its block went elsewhere. One
    without a block, or of which nothing is known, has k = 0; of a chain value that is not known it has zeros.
    """

    def __init__(self, first: int = 1) -> None:
        self.first = first
        self.columns = [array(code) for code in "IQIQ"]
        self.chains = bytearray()

    def __len__(self) -> int:
        return len(self.columns[0])

    def add(self, p: int, row: Row) -> None:
        """Remember the block at p; anything far from what is remembered starts afresh."""
        passed = p - self.first - len(self)
        if 0 < passed <= PASSED_MAX:
            for column in self.columns:
                column.extend([0] * passed)
            self.chains += START * passed
        elif passed:
            self.__init__(p)  # type: ignore[misc]
        for column, value in zip(self.columns, (row.ident, row.k, row.rows, row.size), strict=True):
            column.append(value)
        self.chains += row.chain

    def trim(self, limit: int) -> None:
        """Keep the newest `limit` (in steps of an eighth, so that trimming stays cheap)."""
        surplus = len(self) - limit
        if surplus > limit // 8:
            for column in self.columns:
                del column[:surplus]
            del self.chains[: surplus * CHAIN_BYTES]
            self.first += surplus

    def chain_at(self, p: int) -> bytes | None:
        """Chain value after p, if it is remembered."""
        i = (p - self.first) * CHAIN_BYTES
        value = bytes(self.chains[i : i + CHAIN_BYTES]) if 0 <= i < len(self.chains) else START
        return value if value != START else None

    def elsewhere(self) -> list[int]:
        """The remembered positions whose blocks were not committed there."""
        known = zip(self.columns[1], self.columns[2], strict=True)
        return [p for p, (k, readings) in enumerate(known, self.first) if k and not readings]

    def between(self, p_from: int, p_to: int) -> list[tuple[int, int, int, int, int]]:
        """(p, ident, k, readings, payload bytes) of the remembered blocks among p_from to p_to."""
        i, j = max(0, p_from - self.first), max(0, p_to - self.first + 1)
        places = range(self.first + i, self.first + min(j, len(self)))
        found = zip(places, *(column[i:j] for column in self.columns), strict=True)
        return [item for item in found if item[2]]

    def cut_after(self, p: int) -> None:
        """Forget everything above p."""
        keep = max(0, p - self.first + 1)
        for column in self.columns:
            del column[keep:]
        del self.chains[keep * CHAIN_BYTES :]


class State:
    """Streams, waiting blocks, dead letters and the numbering of identities.

    Attributes:
        settings: As configured.
        epochs: This node's epochs with anything left to say, oldest first, the current one last.
        idents: (origin, epoch) by number; ("", b"") for a number that is free.
        groups: Sets of series groups by number.
        waiting: Blocks between a `Later` and their next attempt, by number.
        dead: Dead letters, by number, oldest first.
        dead_runs: Runs in files that were given up unread, by number of the same numbering, oldest first.
        unlisted: Blocks that were listed as dead and are not any more, without having been sent again.
        parent: The parent that positions were last compared with.
        foreign_parent: An earlier parent that may hold blocks of unknown outcome.
        parked: Origins that the parent does not accept at present.
        history: Per stream, what stays of answered blocks.
        next_number: Next number of a waiting block or dead letter.
        k: Last k of each class in the current epoch.
        files_known: Outbox files that have held blocks and have not been reported unused.
        held: Streams in which something waits for a commit (`Stream.held_from`).
        drafted: Tails that moved in commits that are not finished: (n, stream, p).
        acks: Watermarks that moved in commits that are not finished: (n, stream, p).
        asked: Blocks that a restored parent lost and an ancestor has to be asked about; until they are taken.
        lost: Own blocks sealed in commits which are missing from the log, until they are told north.
        version: Changes when streams are added or positions compared anew.
    """

    def __init__(self, settings: OutboxSettings) -> None:
        self.settings = settings
        self.epochs: list[Epoch] = []
        self.idents: list[tuple[str, bytes]] = []
        self._ident: dict[tuple[str, bytes], int] = {}
        self.groups: list[tuple[str, ...]] = [()]
        self._group: dict[tuple[str, ...], int] = {(): 0}
        self._group_text = 0
        self._free: list[int] = []
        self.waiting: dict[int, Waiting] = {}
        self.due: list[tuple[int, int]] = []
        self.dead: dict[int, Waiting] = {}
        self.dead_runs: dict[int, DeadRun] = {}
        self.parent: ParentName | None = None
        self.foreign_parent: ParentName | None = None
        self.parked: set[str] = set()
        self.history: dict[StreamKey, History] = {}
        self.unlisted = 0
        self.next_number = 1
        self.k: dict[int, int] = {}
        self.files_known: set[int] = set()
        self.stored: dict[StreamKey, int] = {}
        self.held: list[Stream] = []
        self.drafted: list[tuple[int, Stream, int]] = []
        self.acks: list[tuple[int, Stream, int]] = []
        self.asked: list[GapRange] = []
        self.lost: list[GapRange] = []
        self.version = 0

    def clear(self) -> None:
        """Forget everything."""
        self.__init__(self.settings)  # type: ignore[misc]

    def stored_up_to(self, stream: StreamKey, p: int) -> None:
        """A hint: the cloud has applied this stream up to p. What is stored is reclaimed first."""
        if self.find(stream) is not None:
            self.stored[stream] = max(p, self.stored.get(stream, 0))

    @property
    def current(self) -> Epoch | None:
        """The epoch that new blocks belong to."""
        return self.epochs[-1] if self.epochs else None

    def streams(self) -> Iterable[Stream]:
        """Every stream, oldest epoch first."""
        return (stream for epoch in self.epochs for stream in epoch.streams.values())

    def find(self, key: StreamKey) -> Stream | None:
        """A stream by its name."""
        for epoch in reversed(self.epochs):
            if epoch.epoch == key.epoch:
                return epoch.streams.get((key.priority, key.lane))
        return None

    def open_stream(self, epoch: Epoch, priority: int, lane: int) -> Stream:
        """A stream of one of this node's epochs, made when it is first used."""
        stream = epoch.streams.get((priority, lane))
        if stream is None:
            stream = epoch.streams[(priority, lane)] = Stream(StreamKey(epoch.epoch, priority, lane))
            self.version += 1
        return stream

    def ident(self, origin: str, epoch: bytes) -> int:
        """Number of (origin, epoch)."""
        key = (origin, epoch)
        number = self._ident.get(key)
        if number is None and self._free:
            number = self._ident[key] = self._free.pop()
            self.idents[number] = key
        elif number is None:
            number = self._ident[key] = len(self.idents)
            self.idents.append(key)
        return number

    def free_idents(self) -> None:
        """Let go of the numbers of identities of which no block is left here, when there are many."""
        if len(self.idents) - len(self._free) <= IDENTS_KEPT:
            return
        columns = [piece.identities for stream in self.streams() for piece in stream.rows_held()]
        columns += [history.columns[0] for history in self.history.values()]
        used = set[int]().union(*columns)
        for number, key in enumerate(self.idents):
            if number not in used and key[1]:
                del self._ident[key]
                self.idents[number] = ("", b"")
                self._free.append(number)

    def number_as(self, idents: list[tuple[str, bytes]], groups: list[tuple[str, ...]]) -> None:
        """Take over the numbering of a snapshot (into an empty state)."""
        self.idents, self.groups = list(idents), list(groups)
        self._ident = {key: number for number, key in enumerate(idents) if key[1]}
        self._free = [number for number, key in enumerate(idents) if not key[1]]
        self._group = {names: number for number, names in enumerate(groups)}
        self._group_text = sum(map(len, chain.from_iterable(groups)))

    def group(self, groups: tuple[str, ...]) -> int:
        """Number of a set of series groups."""
        number = self._group.get(groups)
        if number is None and groups != ANY_GROUP:
            size = sum(map(len, groups))
            if len(self.groups) >= GROUP_SETS_MAX or self._group_text + size > GROUP_TEXT_MAX:
                return self.group(ANY_GROUP)
            self._group_text += size
        if number is None:
            number = self._group[groups] = len(self.groups)
            self.groups.append(groups)
        return number

    def row_of(self, header: BlockHeader, born_ms: int, space: int, at: int, length: int) -> Row:
        """What the outbox keeps of a header."""
        return Row(
            ident=self.ident(header.origin, header.epoch),
            k=header.k,
            rows=header.rows,
            size=header.size,
            ts_min=header.ts_min,
            ts_max=header.ts_max,
            born_ms=born_ms,
            space=space,
            at=at,
            length=length,
            groups=self.group(header.groups),
            tries=0,
            digest=header.digest,
            chain=START,
        )

    def letter(self, row: Row) -> Letter:
        """A row with names instead of numbers."""
        return Letter(*self.idents[row.ident], self.groups[row.groups], row)

    def own(self, letter: Letter) -> Row:
        """The row of a letter in this run's numbering."""
        ident, groups = self.ident(letter.origin, letter.epoch), self.group(letter.groups)
        return msgspec.structs.replace(letter.row, ident=ident, groups=groups)

    def remember(self, stream: Stream, p: int, row: Row) -> None:
        """The block at p was answered."""
        if p in stream.elsewhere:
            row = msgspec.structs.replace(row, rows=0, size=0)
        history = self.history.get(stream.key)
        if history is None:
            history = self.history[stream.key] = History(p)
        history.add(p, row)
        history.trim(self.settings.history)

    def forget_to(self, stream: Stream, p: int) -> None:
        """Bodies of a stream at and below p are gone; of what nothing is known any more, nothing is kept."""
        stream.forget_to(p)
        history = self.history.get(stream.key)
        known = [stream.floor + 1, *(gap.first for gap in stream.told[:1])]
        known += [history.first] if history is not None else []
        if stream.elsewhere:
            stream.elsewhere = {at for at in stream.elsewhere if at >= min(known)}

    def set_waiting(self, item: Waiting) -> None:
        """Let a block wait for its time."""
        self.waiting[item.number] = item
        heapq.heappush(self.due, (item.due_ns, item.number))

    def move_letter(self, number: int, ref: Ref) -> None:
        """The body of a waiting block or dead letter is at `ref` now; one that has left is left alone."""
        item = self.waiting.get(number) or self.dead.get(number)
        if item is not None:
            row = msgspec.structs.replace(item.letter.row, space=ref.space, at=ref.at, length=ref.length)
            item.letter = msgspec.structs.replace(item.letter, row=row)
            self.files_known.add(ref.space)

    def take_number(self) -> int:
        """A number for a waiting block or dead letter."""
        number, self.next_number = self.next_number, self.next_number + 1
        return number

    def bury(self, item: Waiting) -> None:
        """List a dead letter; the oldest makes room."""
        self.dead[item.number] = item
        while len(self.dead) > self.settings.dead_max:
            self.unlist(next(iter(self.dead)))

    def unlist(self, number: int) -> None:
        """A dead letter, or a run, can no longer be sent again."""
        if self.dead.pop(number, None) is not None:
            self.unlisted += 1
        run = self.dead_runs.pop(number, None)
        if run is not None:
            self.unlisted += run.blocks

    def bury_run(self, key: StreamKey, reason: int, info: BacklogFile) -> None:
        """List a run in a file that was given up unread; the oldest makes room."""
        number = self.take_number()
        self.dead_runs[number] = DeadRun(number, key.priority, key.lane, reason, info)
        while len(self.dead_runs) > DEAD_RUNS_MAX:
            self.unlist(next(iter(self.dead_runs)))

    def ranges(self, rows: Iterable[Row], priority: int, reason: int) -> tuple[GapRange, ...]:
        """Tombstones for blocks: one for each run of consecutive k of one identity."""
        out: list[GapRange] = []
        for row in rows:
            origin, epoch = self.idents[row.ident]
            groups = self.groups[row.groups] or ANY_GROUP
            last = out[-1] if out else None
            adjoins = last and (last.origin, last.epoch, last.k_to + 1) == (origin, epoch, row.k)
            if last and adjoins and last.payload_bytes + row.size <= PAYLOAD_MAX:
                out[-1] = _joined(last, row, groups)
            else:
                out.append(
                    GapRange(
                        origin, epoch, priority, row.k, row.k, reason,
                        row.rows, row.size, row.ts_min, row.ts_max, groups,
                    )
                )  # fmt: skip
        return tuple(out)

    def hello(self) -> list[EpochHello]:
        """What the handshake asks about."""
        drained = [epoch for epoch in self.epochs[:-1] if epoch.drained]
        hidden = {epoch.epoch for epoch in drained[:-DRAINED_EPOCHS_KEPT]}
        return [
            EpochHello(
                epoch.epoch,
                epoch.predecessor,
                epoch.predecessor_n,
                tuple(
                    StreamHello(
                        *key,
                        stream.durable,
                        stream.acked,
                        stream.acked_chain,
                        stream.floor,
                        stream.floor_chain,
                    )
                    for key, stream in epoch.streams.items()
                    if stream.durable
                ),
            )
            for epoch in self.epochs
            if epoch.epoch not in hidden
        ]

    def forget_drained(self) -> None:
        """Let go of epochs that are drained, have no body left and are older than the newest kept ones."""
        old = [
            epoch
            for epoch in self.epochs[:-1]
            if epoch.drained and all(stream.floor >= stream.tail for stream in epoch.streams.values())
        ]
        for epoch in old[:-DRAINED_EPOCHS_KEPT]:
            self.epochs.remove(epoch)
            for stream in epoch.streams.values():
                self.history.pop(stream.key, None)


def book_out(draft: DraftLike, account: Account, priority: int, readings: int, payload_bytes: int) -> None:
    """Move readings out of `pending` (or back into it, with negative numbers)."""
    if readings or payload_bytes:
        draft.book(Account.PENDING, "", priority, "", -readings, -payload_bytes)
        draft.book(account, "", priority, "", readings, payload_bytes)


def _joined(last: GapRange, row: Row, groups: tuple[str, ...]) -> GapRange:
    times = [ts for ts in (last.ts_min, row.ts_min) if ts != NO_TIME]
    together = tuple(dict.fromkeys((*last.groups, *groups)))
    if len(together) > GROUPS_MAX or ANY_GROUP[0] in together:
        together = ANY_GROUP
    return msgspec.structs.replace(
        last,
        k_to=row.k,
        readings=last.readings + row.rows,
        payload_bytes=last.payload_bytes + row.size,
        ts_min=min(times, default=NO_TIME),
        ts_max=max(last.ts_max, row.ts_max),
        groups=together,
    )
