"""Pages of a log that the medium does not give: stepped around where a commit that verifies follows."""

from __future__ import annotations

import msgspec
import pytest
from tests.journal.harness import CONFIG, EPOCH, Start, execute, start, trace

from headland.journal import Mark
from headland.journal.read_ahead import PAGE_BYTES
from headland.simulation.disk import SimulatedDisk
from headland.vocabulary import StorageDamage

LARGE = msgspec.structs.replace(CONFIG, segment_bytes=8 * PAGE_BYTES, checkpoint_log_bytes=1 << 20)
COMMITS = 60


def written() -> SimulatedDisk:
    """Sixty commits over several segments of eight pages."""
    disk = SimulatedDisk()
    ops, _ = trace(start(disk, LARGE).journal, range(1, COMMITS + 1), size=1_200)
    execute(disk, ops)
    assert len(disk.names("journal")) >= 3
    return disk


def pages(disk: SimulatedDisk) -> list[tuple[str, int]]:
    return [
        (f"journal/{name}", at)
        for name in disk.names("journal")
        for at in range(0, disk.size(f"journal/{name}"), PAGE_BYTES)
    ]


def started(disk: SimulatedDisk) -> Start | StorageDamage:
    """What a start finds, or why it refuses."""
    try:
        return start(disk, LARGE)
    except StorageDamage as error:
        return error


def test_of_every_page_of_the_log_commits_before_and_behind_it_are_found_or_the_start_refuses() -> None:
    """Kills: a start that fails at the first page; one that takes the unread end for the end of the log."""
    refused = 0
    for path, at in pages(written()):
        disk = written()
        disk.wear(path, at)
        before = {name: disk.size(f"journal/{name}") for name in disk.names("journal")}
        found = started(disk)
        if isinstance(found, StorageDamage):
            refused += 1
            assert path in str(found)
            assert f"bytes {at}-" in str(found)
            assert found.hint
            assert {name: disk.size(f"journal/{name}") for name in disk.names("journal")} == before
            assert path == f"journal/{disk.names('journal')[-1]}"
            continue
        missing = set(range(1, COMMITS + 1)) - set(found.ns)
        assert found.ns == sorted(found.ns)
        assert found.ns[-1] == COMMITS
        assert len(missing) <= PAGE_BYTES // 1_200 + 2
        assert any(path in one.detail for one in found.recovered.damage)
        again = start(disk, LARGE)
        assert again.ns == found.ns
    assert 0 < refused < 8


def test_a_segment_of_which_nothing_can_be_read_is_a_hole_before_others_and_refused_at_the_end() -> None:
    """Kills: a segment that is unread taken for one that never began, and unlinked."""
    names = written().names("journal")
    for name in names:
        disk = written()
        for path, at in pages(disk):
            if path == f"journal/{name}":
                disk.wear(path, at)
        if name == names[-1]:
            with pytest.raises(StorageDamage, match="no commit that verifies follows"):
                start(disk, LARGE)
            continue
        found = start(disk, LARGE)
        assert found.ns[-1] == COMMITS
        assert found.ns != list(range(1, COMMITS + 1))
        assert any(name in one.detail for one in found.recovered.damage)


def test_after_an_operators_copy_what_could_be_read_is_found() -> None:
    disk = written()
    last = f"journal/{disk.names('journal')[-1]}"
    disk.wear(last, 0)
    if isinstance(started(disk), StorageDamage):
        disk.rescue()
    found = start(disk, LARGE)
    assert found.ns[-1] >= COMMITS - 8 * PAGE_BYTES // 1_200
    assert found.frames[-1].epoch == EPOCH


def test_an_error_that_is_not_of_the_medium_is_not_damage() -> None:
    """Kills: a directory that may not be read taken for an empty one."""

    class Forbidden(SimulatedDisk):
        def read(self, path: str, offset: int, length: int) -> bytes:
            raise PermissionError(13, "not allowed", path)

    disk = written()
    disk.__class__ = Forbidden
    with pytest.raises(PermissionError):
        start(disk, LARGE)


def test_what_is_said_of_damage_tells_a_medium_that_gives_nothing_from_bytes_that_do_not_verify() -> None:
    for worn in (True, False):
        disk = written()
        path = f"journal/{disk.names('journal')[0]}"
        if worn:
            disk.wear(path, PAGE_BYTES)
        else:
            disk.flip(path, PAGE_BYTES + 64)
        (damage,) = start(disk, LARGE).recovered.damage
        assert ("cannot be read" in damage.detail, "do not verify" in damage.detail) == (worn, not worn)


def test_damage_says_what_it_is_of_and_between_which_commits() -> None:
    disk = written()
    names = disk.names("journal")
    disk.flip(f"journal/{names[1]}", 3)
    found = start(disk, LARGE)
    (damage,) = found.recovered.damage
    first = next(frame for frame in found.frames if frame.segment == int(names[1].partition(".")[0], 16))
    assert damage.what == "segment header"
    assert (damage.after, damage.before) == (Mark(EPOCH, first.n - 1), Mark(EPOCH, first.n))
    assert found.ns == list(range(1, COMMITS + 1))
    disk = written()
    disk.wear(f"journal/{names[0]}", PAGE_BYTES)
    (damage,) = start(disk, LARGE).recovered.damage
    assert damage.what == "log"
    assert damage.after.n + 1 < damage.before.n
