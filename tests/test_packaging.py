"""The wheel stands on its own: it installs and runs where there is no checkout."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import headland

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


def run(*command: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, with the locked backend and no network."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "headland"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, copy, folder=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_its_licence_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "headland",
        f"headland-{headland.__version__}.dist-info",
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "headland/py.typed" in names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_the_wheel_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    (packages,) = (environment / "lib").glob("python*/site-packages")
    # --target would lose the command, so pip is pointed at the other interpreter.
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, wheel, folder=tmp_path)
    # Dependencies come from the environment the tests run in; as a plain path, its own .pth files, and so the
    # checkout, stay out.
    others = os.pathsep.join(site.getsitepackages())
    done = run(environment / "bin" / "headland", "version", "--json", folder=tmp_path, PYTHONPATH=others)
    assert json.loads(done.stdout)["version"] == headland.__version__
    where = run(python, "-c", "import headland; print(headland.__file__)", folder=tmp_path, PYTHONPATH=others)
    assert Path(where.stdout.strip()).is_relative_to(packages)


def test_a_device_installs_only_pins_that_were_tested() -> None:
    device, tested = (pins(ROOT / "requirements" / name) for name in ("device.txt", "dev.txt"))
    assert device
    assert device <= tested


def pins(path: Path) -> set[str]:
    return {line.rstrip(" \\") for line in path.read_text().splitlines() if line[:1].isalpha()}


def test_every_locked_file_has_a_hash() -> None:
    for name in ("device.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text()
        entries = [entry for entry in text.split("\n") if entry[:1].isalpha()]
        assert all(entry.endswith("\\") for entry in entries), f"{name}: a pin without hashes"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_the_systemd_unit_is_well_formed(tmp_path: Path) -> None:
    # The unit names a path that exists only once installed; any executable stands in for it.
    unit = (ROOT / "packaging" / "headland.service").read_text()
    (tmp_path / "headland.service").write_text(unit.replace("/opt/headland/bin/headland", "/bin/true"))
    done = run("systemd-analyze", "verify", "--man=no", tmp_path / "headland.service", folder=tmp_path)
    assert not done.stderr.strip()


def test_the_steps_of_the_readme_make_a_node_that_runs(
    tmp_path: Path,
) -> None:
    """All but users and systemd: what the unit reads is what `init` makes."""
    readme = (ROOT / "packaging" / "README.md").read_text(encoding="utf-8")
    unit = (ROOT / "packaging" / "headland.service").read_text(encoding="utf-8")
    (line,) = [line for line in readme.splitlines() if line.startswith("$ /opt/headland/bin/headland init")]
    words = line.split("#")[0].split()[2:]
    assert f"ExecStart=/opt/headland/bin/headland run {words[1]}/node.toml" in unit
    assert "User=headland" in unit
    assert words[words.index("--data-dir") + 1] == "/var/lib/headland"
    assert "StateDirectory=headland" in unit
    etc, var = tmp_path / "etc", tmp_path / "var"
    placed = [
        str(etc) if word == words[1] else str(var) if word == "/var/lib/headland" else word for word in words
    ]
    ports = ["--mqtt-port", "0", "--http-port", "0", "--link-port", "0"]
    run(
        sys.executable,
        "-m",
        "headland",
        *placed,
        *ports,
        folder=tmp_path,
        PYTHONPATH=os.pathsep.join(sys.path),
    )
    shutil.move(etc / "ca", tmp_path / "ca")
    for path in (*etc.rglob("*"), etc):
        path.chmod(0o500 if path.is_dir() else 0o400)
    file = etc / "node.toml"
    checked = run(
        sys.executable, "-m", "headland", "check", file, "--json",
        folder=tmp_path, PYTHONPATH=os.pathsep.join(sys.path),
    )  # fmt: skip
    assert not [one for one in json.loads(checked.stdout)["findings"] if one["outcome"] == "broken"]
    node = subprocess.Popen(
        [sys.executable, "-m", "headland", "run", str(file)], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        assert node.stderr is not None
        assert any('"started"' in line for line in node.stderr)
    finally:
        node.terminate()
        node.communicate(timeout=30)
    assert (var / "journal").is_dir()
    assert not (etc / "data").exists()
