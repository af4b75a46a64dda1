"""The real disk does what the simulated one promises, and belongs to one process."""

from __future__ import annotations

import errno
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.journal.harness import EPOCH, sections

from headland.drivers.disk import FORMAT_VERSION, DiskFailed, RealDisk
from headland.journal import JournalConfig, recover
from headland.journal.plan import Create, DiskOp, Rename, Sync, SyncDir, Truncate, Unlink, Write
from headland.simulation.disk import SimulatedDisk
from headland.vocabulary import ConfigurationError, DefectError


def test_both_disks_show_the_same_files_after_the_same_operations(tmp_path: Path) -> None:
    """Kills: a simulation that proves things about another disk."""
    rng = random.Random(5)
    simulated, real = SimulatedDisk(), RealDisk(tmp_path / "data")
    paths = [f"journal/{name}" for name in "abcd"]
    there: dict[str, int] = {}
    for _ in range(400):
        path = rng.choice(paths)
        op: DiskOp
        kind = rng.randrange(6)
        if kind == 0 or path not in there:
            size = rng.randrange(1, 5_000)
            op = Create(path, size)
            there[path] = max(size, there.get(path, 0))
        elif kind == 1:
            offset = rng.randrange(there[path])
            op = Write(path, offset, rng.randbytes(rng.randrange(there[path] - offset + 1)))
        elif kind == 2:
            other = rng.choice(paths)
            if other == path:
                continue
            op = Rename(path, other)
            there[other] = there.pop(path)
        elif kind == 3:
            op = Unlink(path)
            del there[path]
        elif kind == 4:
            size = rng.randrange(1, there[path] + 1)
            op = Truncate(path, size)
            there[path] = size
        else:
            op = rng.choice([Sync(path), SyncDir("journal")])
        simulated.apply(op)
        real.apply(op)
        assert real.names("journal") == simulated.names("journal") == sorted(path[8:] for path in there)
        for name in there:
            assert real.size(name) == simulated.size(name)
            assert real.read(name, 7, 10_000) == simulated.read(name, 7, 10_000)
    real.close()


def test_a_journal_on_a_real_disk_survives_a_restart(tmp_path: Path) -> None:
    config = JournalConfig(segment_bytes=8_192)
    n = 0
    for run in range(4):
        disk = RealDisk(tmp_path / "data")
        recovered = recover(disk, config)
        frames = list(recovered.frames())
        assert [frame.n for frame in frames] == list(range(1, n + 1))
        assert all(list(frame.sections) == sections(frame.n) for frame in frames)
        assert recovered.damage == []
        for op in recovered.plan:
            disk.apply(op)
        journal = recovered.journal
        for _ in range(15 + run):
            n += 1
            for op in journal.append(EPOCH, n, 1, 1, sections(n)).plan:
                disk.apply(op)
        disk.close()


def test_a_data_directory_belongs_to_one_process(tmp_path: Path) -> None:
    """Kills: two nodes on one log."""
    disk = RealDisk(tmp_path / "data")
    with pytest.raises(ConfigurationError, match="in use by process"):
        RealDisk(tmp_path / "data")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from headland.drivers.disk import RealDisk\n"
        "from headland.vocabulary import ConfigurationError\n"
        "try:\n"
        "    RealDisk(Path(sys.argv[1]))\n"
        "except ConfigurationError:\n"
        "    sys.exit(2)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "data")]
    assert subprocess.run(command, check=False).returncode == 2
    disk.close()
    assert subprocess.run(command, check=False).returncode == 0


def test_a_directory_of_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    """Kills: an older program that reads what it does not know."""
    RealDisk(tmp_path / "data").close()
    marker = tmp_path / "data" / "format"
    assert marker.read_text() == f"headland data {FORMAT_VERSION}\n"
    marker.write_text(f"headland data {FORMAT_VERSION + 1}\n")
    with pytest.raises(ConfigurationError, match=f"format {FORMAT_VERSION + 1}"):
        RealDisk(tmp_path / "data")
    marker.write_text("something else\n")
    with pytest.raises(ConfigurationError, match="not a data directory"):
        RealDisk(tmp_path / "data")
    marker.write_text("")
    RealDisk(tmp_path / "data").close()
    assert marker.read_text() == f"headland data {FORMAT_VERSION}\n"


def test_a_path_that_is_no_directory_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        RealDisk(tmp_path / "data")


def test_threads_may_use_many_files_at_once(tmp_path: Path) -> None:
    """Kills: a descriptor closed, or given to another file, while a thread writes through it."""
    disk = RealDisk(tmp_path / "data")

    def work(thread: int) -> None:
        for number in range(60):
            path = f"journal/{thread}-{number % 40}"
            disk.apply(Create(path, 64))
            disk.apply(Write(path, 0, b"%d-%02d" % (thread, number % 40)))
            disk.apply(Sync(path))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    for thread in range(4):
        for number in range(40):
            expected = b"%d-%02d" % (thread, number)
            assert disk.read(f"journal/{thread}-{number}", 0, len(expected)) == expected
    disk.close()


def test_after_a_failure_a_disk_does_nothing_more(tmp_path: Path) -> None:
    """Kills: retrying a sync whose pages the kernel has dropped."""
    disk = RealDisk(tmp_path / "data")
    disk.apply(Create("journal/a", 100))
    with pytest.raises(DiskFailed):
        disk.apply(Write("journal/missing", 0, b"x"))
    with pytest.raises(DiskFailed):
        disk.apply(Sync("journal/a"))
    disk.close()
    simulated = SimulatedDisk()
    simulated.fail_at = 1
    simulated.apply(Create("journal/a", 100))
    for _ in range(2):
        with pytest.raises(DiskFailed):
            simulated.apply(Sync("journal/a"))


def test_space_runs_out_in_create_and_is_not_a_failure() -> None:
    """Kills: a full disk that ends the node; a write that needs space."""
    disk = SimulatedDisk(capacity_bytes=1_000)
    disk.apply(Create("journal/a", 600))
    with pytest.raises(OSError, match="no space") as refused:
        disk.apply(Create("journal/b", 600))
    assert refused.value.errno == errno.ENOSPC
    assert not isinstance(refused.value, DiskFailed)
    disk.apply(Write("journal/a", 0, bytes(600)))
    with pytest.raises(DefectError):
        disk.apply(Write("journal/a", 599, b"xy"))
    assert disk.free_bytes() == 400


def test_what_was_not_synced_may_be_gone_and_what_was_synced_is_not() -> None:
    """The simulated disk loses writes, names and lengths, each on its own, and nothing that was synced."""
    disk = SimulatedDisk()
    for op in (
        Create("journal/a", 2_048),
        Write("journal/a", 0, b"1" * 2_048),
        Sync("journal/a"),
        SyncDir("journal"),
    ):
        disk.apply(op)
    disk.apply(Write("journal/a", 100, b"2" * 1_500))
    disk.apply(Create("journal/b", 10))
    disk.apply(Rename("journal/b", "journal/c"))
    seen = set()
    rng = random.Random(3)
    for _ in range(800):
        after = disk.crash(rng)
        data = after.read("journal/a", 0, 4_096)
        assert len(data) == 2_048
        assert data[:100] == b"1" * 100
        sectors = tuple(data[at : at + 512].count(b"2") > 0 for at in range(0, 2_048, 512))
        seen.add((sectors, tuple(after.names("journal"))))
    assert {names for _, names in seen} == {("a",), ("a", "b"), ("a", "c")}
    assert len({sectors for sectors, _ in seen}) == 16
    assert disk.power_cut().read("journal/a", 0, 4_096) == b"1" * 2_048
    assert disk.process_kill().read("journal/a", 100, 1_500) == b"2" * 1_500
