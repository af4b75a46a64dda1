"""A data directory belongs to one node, and `check` says of it what `run` would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.node.running import RunningNode, headland

from headland.drivers.disk import InUse, RealDisk, owner_of
from headland.vocabulary import ConfigurationError

HOLD = """
import sys
from pathlib import Path
from headland.drivers.disk import RealDisk

disk = RealDisk(Path(sys.argv[1]), "site/a")
print("held", flush=True)
sys.stdin.read()
"""


def node(directory: Path, *, name: str = "n", data: str = "data") -> Path:
    """A node's file, made by `init`, with its data elsewhere."""
    ports = ("--mqtt-port", "0", "--http-port", "0", "--link-port", "0")
    made = headland("init", str(directory), "--name", name, *ports)
    assert made.returncode == 0, made.stderr
    file = directory / "node.toml"
    file.write_text(file.read_text().replace('data_dir = "data"', f'data_dir = "{data}"'))
    assert f'data_dir = "{data}"' in file.read_text()
    return file


def both(file: Path) -> tuple[str, str]:
    """What `check` (exit 1) and `run` (exit 2) say of a directory that cannot be used."""
    checked, ran = headland("check", str(file)), headland("run", str(file))
    assert checked.returncode == 1, checked.stdout
    assert ran.returncode == 2, ran.stderr
    (told,) = [line for line in checked.stdout.splitlines() if line.startswith("BROKEN   data directory")]
    return told, ran.stderr


def test_a_directory_of_another_node_is_refused_with_both_names_and_a_way_out(tmp_path: Path) -> None:
    """Kills: a renamed node, or a copied directory, that crashes in a loop over blocks of another name."""
    with RunningNode(tmp_path / "alpha") as alpha:
        alpha.stop()
    data = tmp_path / "alpha" / "data"
    assert owner_of(data) == "site/alpha"
    for told in both(node(tmp_path / "beta", name="beta", data=str(data))):
        assert "belongs to site/alpha, this node is site/beta" in told
        assert "run it as site/alpha until nothing waits in it" in told
    assert owner_of(data) == "site/alpha"


def test_a_directory_that_names_nobody_is_adopted(tmp_path: Path) -> None:
    """Kills: a data directory of an earlier version that is refused."""
    RealDisk(tmp_path / "data").close()
    assert owner_of(tmp_path / "data") == ""
    RealDisk(tmp_path / "data", "site/a").close()
    assert owner_of(tmp_path / "data") == "site/a"
    RealDisk(tmp_path / "data").close()
    with pytest.raises(ConfigurationError, match="belongs to site/a, this node is site/b"):
        RealDisk(tmp_path / "data", "site/b")
    RealDisk(tmp_path / "data", "site/a").close()


def test_who_holds_a_directory_is_named(tmp_path: Path) -> None:
    """Kills: "in use by another process", which could be any."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InUse, match=f"in use by process {holder.pid}"):
            RealDisk(tmp_path / "data", "site/a")
        for told in both(node(tmp_path / "b", name="b", data=str(tmp_path / "data"))):
            assert f"in use by process {holder.pid}, site/a" in told
        same = headland("check", str(node(tmp_path / "a", name="a", data=str(tmp_path / "data"))))
        assert same.returncode == 0
        assert f"in use by this node, process {holder.pid}" in same.stdout
    finally:
        holder.stdin.close()
        holder.wait(20)
        holder.stdout.close()


def test_a_plain_file_and_a_place_where_nothing_can_be_made_are_broken_in_check_as_in_run(
    tmp_path: Path,
) -> None:
    """Kills: `check` says ok of what `run` refuses."""
    plain = tmp_path / "plain"
    plain.write_text("text")
    for index, data in enumerate((str(plain), str(plain / "below"), "/proc/nothing")):
        both(node(tmp_path / f"n{index}", name=f"n{index}", data=data))
    assert plain.read_text() == "text"


@pytest.mark.skipif(os.geteuid() == 0, reason="whoever is root may write everywhere")
def test_a_directory_that_may_not_be_written_is_broken(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    both(node(tmp_path / "n", data=str(closed / "data")))
