"""`headland init` makes what `headland check` accepts; what is broken is named."""

from __future__ import annotations

import datetime as dt
import json
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.journal.test_outbox_files import block

from headland.cli.group import main
from headland.config import load
from headland.drivers.disk import FORMAT_VERSION, RealDisk
from headland.journal import Draft, Section, SectionType, recover
from headland.journal.outbox_files import BlockFiles
from headland.node.kept_files import STORE, KeptFiles
from headland.trust.authority import Authority
from headland.trust.identity import Identity
from headland.trust.passwords import verify


def headland(*arguments: str | Path, given: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], input=given)


def init(directory: Path, *more: str | Path) -> Result:
    """A node on free ports."""
    return headland("init", directory, "--mqtt-port", "0", "--http-port", "0", "--link-port", "0", *more)


def findings(file: Path, code: int = 0) -> dict[str, tuple[str, str]]:
    result = headland("check", file, "--json")
    assert result.exit_code == code, result.output
    report = json.loads(result.stdout)
    assert report["runs"] == (code == 0)
    return {one["about"]: (one["outcome"], one["text"]) for one in report["findings"]}


def test_init_makes_a_node_that_check_accepts(tmp_path: Path) -> None:
    result = init(tmp_path / "press-7", "--json")
    assert result.exit_code == 0
    made = json.loads(result.stdout)
    assert (made["name"], made["tier"], made["ca_made"]) == ("site/press-7", "local", True)
    found = findings(Path(made["file"]))
    assert found["certificates"][0] == "ok"
    assert found["data directory"][0] == "ok"
    assert "broken" not in {outcome for outcome, _ in found.values()}


def test_keys_are_private_and_there_is_no_password(tmp_path: Path) -> None:
    init(tmp_path / "n")
    for path in (tmp_path / "n").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        elif path.suffix == ".key" or path.name == "node.toml":
            assert mode == 0o600, path
    config = load(tmp_path / "n" / "node.toml", {}).config
    assert not config.user
    assert not config.http.token


def test_nodes_of_one_authority_make_a_chain(tmp_path: Path) -> None:
    init(tmp_path / "cloud", "--tier", "cloud")
    result = init(
        tmp_path / "local",
        "--parent",
        "127.0.0.1:1",
        "--parent-name",
        "cloud",
        "--ca",
        tmp_path / "cloud" / "ca",
    )
    assert result.exit_code == 0
    assert not (tmp_path / "local" / "ca").exists(), "only one place can sign"
    cloud, local = (tmp_path / name / "certificates" / "ca.pem" for name in ("cloud", "local"))
    assert cloud.read_bytes() == local.read_bytes()
    parent = load(tmp_path / "local" / "node.toml", {}).config.link.parent
    assert parent is not None
    assert (parent.host, parent.port, parent.name) == ("127.0.0.1", 1, "site/cloud")
    outcome, text = findings(tmp_path / "local" / "node.toml")["parent"]
    assert outcome == "advice", "a parent that does not answer is a normal day"
    assert "does not answer" in text


def test_an_authority_that_does_not_exist_yet_is_made_where_it_was_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert init(tmp_path / name, "--ca", tmp_path / "shared").exit_code == 0
    assert (tmp_path / "shared" / "ca.key").exists()


def test_a_child_with_an_authority_of_its_own_is_told_that_its_parent_refuses_it(tmp_path: Path) -> None:
    north = ("--parent", "127.0.0.1:8470", "--parent-name", "cloud")
    assert "note: " not in headland("init", str(tmp_path / "cloud"), "--tier", "cloud").stdout
    alone = headland("init", str(tmp_path / "a"), *north).stdout
    assert "note: site/cloud refuses this node unless it trusts that authority" in alone
    assert (
        "note: "
        not in headland("init", str(tmp_path / "b"), *north, "--ca", str(tmp_path / "cloud/ca")).stdout
    )


def test_nodes_made_at_the_same_time_still_share_one_authority(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "headland", "init", "--ca", str(tmp_path / "shared")]
    made = [subprocess.Popen([*command, str(tmp_path / f"n{i}")], stdout=subprocess.PIPE) for i in range(4)]
    said = [process.communicate(timeout=60)[0].decode() for process in made]
    assert sum("made the authority" in one for one in said) == 1
    authorities = {(tmp_path / f"n{i}" / "certificates" / "ca.pem").read_bytes() for i in range(4)}
    assert authorities == {(tmp_path / "shared" / "ca.pem").read_bytes()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name", "../x"], "--name: '../x' is not a name"),
        (["--site", "A"], "--site: 'A' is not a name"),
        (["--parent", "x:y", "--parent-name", "p"], "--parent: 'x:y' is not HOST:PORT"),
        (["--parent", "x:1"], "--parent-name: the parent's name is needed, too"),
        (["--parent", "x:1", "--parent-name", "a/b/c"], "--parent-name: 'a/b/c' is not SITE/NAME or NAME"),
        (["--tier", "attic"], "'attic' is not one of"),
    ],
)
def test_init_refuses_what_cannot_be_and_makes_nothing(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    result = init(tmp_path / "n", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "n").exists()


def test_an_authority_that_cannot_be_used_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "ca.pem").write_text("nonsense")
    result = init(tmp_path / "n", "--ca", shared)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"headland: no authority in {shared}: ")
    assert not (tmp_path / "n").exists()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755, "somebody else's directory is left as it is"


def test_init_never_overwrites_a_node(tmp_path: Path) -> None:
    init(tmp_path / "n")
    before = {path: path.read_bytes() for path in (tmp_path / "n").rglob("*") if path.is_file()}
    result = init(tmp_path / "n")
    assert result.exit_code == 2
    assert "there is a node already" in result.stderr
    assert before == {path: path.read_bytes() for path in (tmp_path / "n").rglob("*") if path.is_file()}


def test_a_configuration_mistake_is_one_line_on_stderr_and_exit_2(tmp_path: Path) -> None:
    init(tmp_path / "n")
    file = tmp_path / "n" / "node.toml"
    file.write_text(file.read_text().replace("[[listen]]\nname", "[[listen]]\nprot = 1\nname"))
    for command in ("check", "run"):
        result = headland(command, file)
        assert result.exit_code == 2, result.output
        assert result.stderr.count("\n") == 1
        assert "listen[0].prot: unknown key (did you mean port?)" in result.stderr
        assert not result.stdout


def test_check_changes_nothing(tmp_path: Path) -> None:
    init(tmp_path / "n")
    before = sorted(tmp_path.rglob("*"))
    findings(tmp_path / "n" / "node.toml")
    assert sorted(tmp_path.rglob("*")) == before


def test_check_tells_that_a_node_is_running_and_skips_its_ports(tmp_path: Path) -> None:
    init(tmp_path / "n")
    disk = RealDisk(tmp_path / "n" / "data", "site/n")
    try:
        found = findings(tmp_path / "n" / "node.toml")
    finally:
        disk.close()
    assert found["data directory"][0] == "advice"
    assert found["http"][0] == "skipped"


def test_check_finds_data_of_a_newer_version(tmp_path: Path) -> None:
    init(tmp_path / "n")
    RealDisk(tmp_path / "n" / "data").close()
    (tmp_path / "n" / "data" / "format").write_text(f"headland data {FORMAT_VERSION + 1}\n")
    outcome, text = findings(tmp_path / "n" / "node.toml", 1)["data directory"]
    assert outcome == "broken"
    assert "format 2" in text


def test_check_reads_the_log_changes_nothing_in_it_and_finds_damage(tmp_path: Path) -> None:
    init(tmp_path / "n")
    file = tmp_path / "n" / "node.toml"
    disk = RealDisk(tmp_path / "n" / "data")
    journal = recover(disk).journal
    for n in range(1, 6):
        for op in journal.append(bytes(16), n, n, n, [Section(SectionType.STATE, bytes(4096))]).plan:
            disk.apply(op)
    disk.close()
    segment = next((tmp_path / "n" / "data" / "journal").iterdir())
    before = segment.read_bytes()
    outcome, text = findings(file)["log"]
    assert outcome == "ok"
    assert text.startswith("5 commits after a checkpoint of 0.0 MB")
    assert segment.read_bytes() == before
    with segment.open("r+b") as raw:
        raw.seek(3 * 4096)
        raw.write(b"\xff" * 16)
    outcome, text = findings(file, 1)["log"]
    assert outcome == "broken"
    assert "damaged log" in text


def test_check_reads_every_block_in_files_and_finds_damage_and_files_that_are_gone(tmp_path: Path) -> None:
    """Kills: a node that is called sound although it cannot read what it has stored."""
    init(tmp_path / "n")
    file = tmp_path / "n" / "node.toml"
    disk = RealDisk(tmp_path / "n" / "data")
    files = BlockFiles(STORE, file_bytes=600)
    spilled = files.append([block(k) for k in range(1, 6)])
    draft = Draft(1)
    KeptFiles([STORE]).note(STORE, spilled.files, draft)
    for op in [*spilled.plan, *recover(disk).journal.append(bytes(16), 1, 1, 1, draft.sections()).plan]:
        disk.apply(op)
    disk.close()
    assert len(spilled.files) >= 2
    outcome, text = findings(file)["files"]
    assert (outcome, text.partition(",")[0]) == ("ok", f"{len(spilled.files)} files of blocks")
    first, second = sorted((tmp_path / "n" / "data" / "store").iterdir())[:2]
    with first.open("r+b") as raw:
        raw.seek(100)
        raw.write(b"\xff" * 16)
    outcome, text = findings(file, 1)["files"]
    assert outcome == "broken"
    assert first.name in text
    assert "do not verify" in text
    second.unlink()
    outcome, text = findings(file, 1)["files"]
    assert outcome == "broken"
    assert second.name in text


def test_check_says_which_series_are_volatile(tmp_path: Path) -> None:
    """Kills: a node whose acknowledgements mean less than they seem to, and nobody is told."""
    init(tmp_path / "n")
    file = tmp_path / "n" / "node.toml"
    assert findings(file)["durability"] == ("ok", "every acknowledgement means on disk")
    with file.open("a") as text:
        text.write('\n[[series]]\nname = "fast"\nmatch = "*/vibration"\ndurability = "volatile"\n')
    outcome, told = findings(file)["durability"]
    assert outcome == "advice"
    assert "'fast'" in told
    assert "'*/vibration'" in told
    with file.open("a") as text:
        text.write('priority = "critical"\n')
    outcome, told = findings(file)["durability"]
    assert outcome == "advice"
    assert "lost in a crash" in told


def test_check_finds_a_program_that_is_not_there_and_volatile_series_of_a_critical_rule(
    tmp_path: Path,
) -> None:
    """Kills: an actuator that is missed only on the day it is needed."""
    init(tmp_path / "n")
    file = tmp_path / "n" / "node.toml"
    with file.open("a") as text:
        text.write(
            '\n[[series]]\nname = "fast"\nmatch = "*/rpm"\ndurability = "volatile"\n'
            '[[rule]]\nname = "stop"\npriority = "critical"\nmatch = "press/rpm"\n'
            'when = { kind = "threshold", above = 1.0 }\n'
            'act = [{ kind = "command", target = "touch" }, { kind = "command", target = "/no/program" },\n'
            '  { kind = "http", target = "http://plc/", authorization = { file = "nowhere" } }]\n'
        )
    said = findings(file, 1)
    outcome, told = said["durability"]
    assert outcome == "advice"
    assert "rule 'stop' is critical and judges series that rule 'fast' makes volatile" in told
    assert said["program of rule stop"] == ("broken", "/no/program is not there, or cannot be run")
    assert said["authorization of rule stop"][0] == "broken"


def test_check_finds_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        headland("init", tmp_path / "n", "--mqtt-port", port, "--http-port", "0", "--link-port", "0")
        outcome, text = findings(tmp_path / "n" / "node.toml", 1)["listener mqtt"]
    assert outcome == "broken"
    assert f"127.0.0.1:{port}: Address already in use" in text


def test_check_finds_certificates_of_a_stranger_expired_or_of_another_node(tmp_path: Path) -> None:
    init(tmp_path / "n")
    file = tmp_path / "n" / "node.toml"
    directory = tmp_path / "n" / "certificates"
    ours = Authority.load(tmp_path / "n" / "ca")
    now = dt.datetime.now(dt.UTC)
    for authority, name, days, said in (
        (Authority.create(now), "n", 30, "is not signed by"),
        (ours, "n", -1, "expired on"),
        (ours, "other", 30, "names site/other, this file site/n"),
    ):
        issued = authority.issue(Identity("site", name), now, days=days)
        (directory / "node.pem").write_bytes(issued.certificate_pem)
        (directory / "node.key").write_bytes(issued.key_pem)
        outcome, text = findings(file, 1)["certificates"]
        assert outcome == "broken"
        assert said in text
    issued = ours.issue(Identity("site", "n"), now, days=7)
    (directory / "node.pem").write_bytes(issued.certificate_pem)
    (directory / "node.key").write_bytes(issued.key_pem)
    assert findings(file)["certificates"][0] == "advice", "it expires soon"


def test_check_finds_secrets_that_are_missing_or_open_to_others(tmp_path: Path) -> None:
    init(tmp_path / "n")
    file = tmp_path / "n" / "node.toml"
    file.write_text(file.read_text() + '\n[[user]]\nname = "gw"\npassword = { file = "gw" }\n')
    assert findings(file, 1)["password of gw"][0] == "broken"
    secret = tmp_path / "n" / "gw"
    secret.write_text("$scrypt$nonsense")
    assert findings(file, 1)["password of gw"][0] == "broken"
    secret.write_text("a password")
    secret.chmod(0o644)
    assert findings(file)["password of gw"][0] == "advice"
    secret.chmod(0o600)
    assert findings(file)["password of gw"][0] == "ok"


def test_check_reads_well_for_people_and_ends_with_counts(tmp_path: Path) -> None:
    init(tmp_path / "n")
    result = headland("check", tmp_path / "n" / "node.toml")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("ok       configuration: ")
    assert result.stdout.splitlines()[-1].endswith("; exit 0")


def test_a_made_password_is_long_and_its_hash_tells_nothing() -> None:
    made = json.loads(headland("password", "--json").stdout)
    assert len(made["password"]) >= 43
    assert made["password"] not in made["hash"]
    typed = headland("password", "--typed", "--json", given="correct horse\ncorrect horse\n")
    hashed = json.loads(typed.stdout.splitlines()[-1])
    assert verify("correct horse", hashed["hash"])
    assert "horse" not in typed.stdout
