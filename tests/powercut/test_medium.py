"""What a power cut may leave of a few calls."""

from __future__ import annotations

import os
import random
from pathlib import Path

from powercut import calls
from powercut.calls import Call, recording
from powercut.choosing import choices, tears
from powercut.medium import ALL, Change, Medium, State

from headland.drivers.disk import RealDisk
from headland.journal.plan import Create, DiskOp, Rename, Sync, SyncDir, Truncate, Unlink, Write
from headland.simulation.disk import SimulatedDisk


def medium(*made: Call) -> Medium:
    out = Medium()
    for call in made:
        out.take(call)
    return out


def left(medium: Medium, *kept: int) -> dict[str, bytes]:
    """Files when only the pending changes of these places stay."""
    pending = medium.pending()
    return medium.after({pending[place].number: ALL for place in kept}).files


MADE = (calls.Make("a"), calls.Write("a", 0, b"one"), calls.SyncFile("a"), calls.SyncDirectory(""))


def test_what_is_synced_stays_with_its_name() -> None:
    assert left(medium(*MADE)) == {"a": b"one"}


def test_a_file_that_is_synced_has_no_name_before_its_directory_is() -> None:
    assert left(medium(*MADE[:3])) == {}
    assert left(medium(*MADE[:3]), 0) == {"a": b"one"}


def test_a_file_may_be_long_and_hold_zeros() -> None:
    made = medium(*MADE, calls.Write("a", 3, b"two"))
    assert [change.kind for change in made.pending()] == ["length", "data"]
    assert left(made) == left(made, 1) == {"a": b"one"}
    assert left(made, 0) == {"a": b"one\0\0\0"}
    assert left(made, 0, 1) == {"a": b"onetwo"}


def test_a_rename_is_whole_or_not_at_all() -> None:
    made = medium(*MADE, calls.Rename("a", "b"), calls.Make("a"))
    assert left(made) == {"a": b"one"}
    assert left(made, 0) == {"b": b"one"}
    assert left(made, 1) == {"a": b""}
    assert left(made, 0, 1) == {"a": b"", "b": b"one"}


def test_a_name_that_was_removed_may_be_there_again() -> None:
    made = medium(*MADE, calls.Unlink("a"))
    assert left(made) == {"a": b"one"}
    assert left(made, 0) == {}


def test_with_the_name_of_a_directory_goes_what_is_in_it() -> None:
    made = medium(
        calls.MakeDirectory("d"), calls.Make("d/a"), calls.SyncFile("d/a"), calls.SyncDirectory("d")
    )
    assert left(made) == {}
    assert left(made, 0) == {"d/a": b""}


def test_a_write_is_torn_at_the_sectors_of_the_file_not_of_the_write() -> None:
    """Kills: tears in the middle of a sector, which no drive leaves."""
    change = Change(1, "a", "data", 500, bytes(5_000))
    cuts = {cut for pieces in tears(change) for piece in pieces for cut in piece} - {0, 5_000}
    assert cuts
    assert all((500 + cut) % 512 == 0 for cut in cuts)
    assert any((500 + cut) % 4096 == 0 for cut in cuts)


def test_every_choice_is_of_what_is_pending() -> None:
    made = medium(*MADE, calls.Write("a", 0, bytes(9_000)), calls.Unlink("a"))
    pending = {change.number for change in made.pending()}
    found = list(choices(made.pending(), random.Random(1), 5))
    assert {how for how, _ in found} == {"lost", "kept", "reordered", "torn", "drawn"}
    assert all(kept.keys() <= pending for _, kept in found)


def test_what_the_driver_does_is_what_is_heard(tmp_path: Path) -> None:
    """Kills: a recorder that hears plans, or misses a call: all that was heard, kept, is what is there."""
    rng, heard, simulated = random.Random(3), Medium(), SimulatedDisk()
    before = os.open
    with recording(tmp_path, heard.take):
        real = RealDisk(tmp_path / "data", "site/node")
        for op in _operations(rng, 300):
            real.apply(op)
            simulated.apply(op)
        real.close()
    assert os.open is before
    state = heard.after({change.number: ALL for change in heard.pending()})
    there = {
        path.relative_to(tmp_path).as_posix(): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert state.files == there
    lost = heard.after({}).files
    cut = simulated.power_cut()
    names = cut.names("journal")
    assert {path for path in lost if path.startswith("data/journal/")} == {
        f"data/journal/{one}" for one in names
    }
    for name in names:
        path = f"journal/{name}"
        assert lost[f"data/{path}"] == cut.read(path, 0, cut.size(path))


def _operations(rng: random.Random, count: int) -> list[DiskOp]:
    """Operations as plans make them, at random, on three files."""
    out: list[DiskOp] = []
    there: dict[str, int] = {}
    for _ in range(count):
        path = f"journal/{rng.choice('abc')}"
        if path not in there:
            there[path] = rng.randrange(1, 9_000)
            out.append(Create(path, there[path]))
            continue
        match rng.randrange(6):
            case 0:
                out.append(Unlink(path))
                del there[path]
            case 1:
                other = f"journal/{rng.choice('abc')}"
                if other != path:
                    out.append(Rename(path, other))
                    there[other] = there.pop(path)
            case 2:
                there[path] = rng.randrange(1, there[path] + 1)
                out.append(Truncate(path, there[path]))
            case 3:
                offset = rng.randrange(there[path])
                out.append(Write(path, offset, rng.randbytes(rng.randrange(1, there[path] - offset + 1))))
            case 4:
                out.append(SyncDir("journal"))
            case _:
                out.append(Sync(path))
    return out


def test_a_state_knows_its_directories() -> None:
    state = medium(calls.MakeDirectory("d"), calls.SyncDirectory("")).after({})
    assert state == State(frozenset({"", "d"}), {})
