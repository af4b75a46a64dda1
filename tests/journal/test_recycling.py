"""Laws of segments that are given up: kept for later ones while they fit, else unlinked; sizes may change."""

from __future__ import annotations

import msgspec
import pytest
from tests.journal.harness import CONFIG, EPOCH, execute, sections, start

from headland.journal import Journal, JournalConfig
from headland.journal.checkpoint import encode_file
from headland.journal.plan import Unlink
from headland.journal.read_ahead import PAGE_BYTES
from headland.journal.segment import path_of
from headland.simulation.disk import SimulatedDisk
from headland.vocabulary import DefectError


class Log:
    """A journal of small segments, with commits of about 300 bytes, of which old ones may be given up."""

    def __init__(self, config: JournalConfig = CONFIG) -> None:
        self.disk = SimulatedDisk()
        self.journal: Journal = start(self.disk, config).journal
        self.n = 0

    def commit(self, count: int, size: int = 300) -> None:
        for _ in range(count):
            self.n += 1
            plan = self.journal.append(EPOCH, self.n, self.n, self.n, sections(self.n, size)).plan
            execute(self.disk, plan)

    def checkpoint(self) -> None:
        info = self.journal.start_checkpoint(self.n)
        ops, size = self.journal.checkpoint_file_ops(info, encode_file(info, b"state"))
        execute(self.disk, ops)
        self.journal.finish_checkpoint(info, size)

    def with_old_segments(self) -> list[int]:
        self.commit(20)
        self.checkpoint()
        self.commit(4)
        self.checkpoint()
        return self.journal.recyclable()


@pytest.mark.parametrize("spares", [0, 1, 2])
def test_so_many_given_up_segments_are_kept_as_spares_and_the_next_are_unlinked(spares: int) -> None:
    """Kills: a spare more or less; a segment of the log that is unlinked for another."""
    log = Log(msgspec.structs.replace(CONFIG, spare_segments=spares))
    old = log.with_old_segments()
    assert len(old) >= 3
    kept = [info.id for info in log.journal.segments() if info.id not in old]
    plans = [log.journal.recycle(segment) for segment in old]
    assert plans[:spares] == [[]] * spares
    assert plans[spares:] == [[Unlink(path_of(segment))] for segment in old[spares:]]
    assert [info.id for info in log.journal.segments()] == kept
    with pytest.raises(DefectError):
        log.journal.recycle(old[0])


def test_a_segment_that_is_larger_than_segments_are_now_is_no_spare() -> None:
    """Kills: a file whose size is taken from another; room kept that nobody may fill."""
    log = Log(msgspec.structs.replace(CONFIG, spare_segments=8))
    old = log.with_old_segments()
    log.journal.resize(msgspec.structs.replace(CONFIG, spare_segments=8, segment_bytes=1_200))
    assert log.journal.recycle(old[0]) == [Unlink(path_of(old[0]))]
    log.journal.resize(msgspec.structs.replace(CONFIG, spare_segments=8))
    assert log.journal.recycle(old[1]) == []


def test_a_segment_that_one_large_commit_made_large_is_no_spare() -> None:
    log = Log(msgspec.structs.replace(CONFIG, spare_segments=8))
    log.commit(1)
    log.commit(1, size=4_000)
    large = log.journal.segments()[-1]
    assert large.bytes > CONFIG.segment_bytes
    old = log.with_old_segments()
    assert large.id in old
    plans = {segment: log.journal.recycle(segment) for segment in old}
    assert [segment for segment, plan in plans.items() if plan] == [large.id]


def test_after_a_turn_the_next_commit_begins_a_segment() -> None:
    log = Log()
    log.commit(1)
    before = [info.id for info in log.journal.segments()]
    log.journal.turn()
    log.commit(2)
    after = [info.id for info in log.journal.segments()]
    assert after[:-1] == before
    assert start(log.disk).ns == [1, 2, 3]


def test_with_another_size_the_open_segment_ends_at_the_smaller_and_the_next_has_the_new_one() -> None:
    log = Log(msgspec.structs.replace(CONFIG, segment_bytes=8_000))
    log.commit(2)
    log.journal.resize(msgspec.structs.replace(CONFIG, segment_bytes=1_600))
    log.commit(12)
    sizes = [info.bytes for info in log.journal.segments()]
    assert len(sizes) > 2
    assert max(sizes) <= 1_600
    log.journal.resize(msgspec.structs.replace(CONFIG, segment_bytes=8_000))
    log.commit(20)
    assert 1_600 < max(info.bytes for info in log.journal.segments()) <= 8_000


def test_a_segment_of_which_a_page_could_not_be_read_is_used_by_no_later_commit() -> None:
    """Kills: a bad page in front of commits to come, behind which the next start finds none and refuses."""
    config = msgspec.structs.replace(CONFIG, spare_segments=9, segment_bytes=4 * PAGE_BYTES)
    log = Log(config)
    log.commit(200)
    worn = log.journal.segments()[1].id
    log.disk.wear(path_of(worn), 2 * PAGE_BYTES)
    log.journal = start(log.disk, config).journal
    for _ in range(2):
        log.commit(50)
        log.checkpoint()
    plans = {segment: log.journal.recycle(segment) for segment in log.journal.recyclable()}
    assert plans[worn] == [Unlink(path_of(worn))]
    assert [] in plans.values()
