"""Which targets there are, and where their corpora stand."""

from __future__ import annotations

import importlib
from pathlib import Path

from fuzz.target import Target

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
"""`seed-*` were made by our encoders, `found-*` were findings; all of it is less than 500 KB."""
BUILD = ROOT / ".build" / "fuzz"
"""What runs find: `corpus/NAME/` and `findings/NAME/`."""

NAMES = (
    "mqtt_packets",
    "mqtt_session",
    "websocket",
    "link_frames",
    "link_parent",
    "link_child",
    "rows",
    "block_headers",
    "http",
    "http_bodies",
    "sparkplug",
    "influx",
    "mappings",
    "configuration",
    "journal",
    "block_files",
    "log_lines",
    "recordings",
)


def target(name: str) -> Target:
    """A target by its name.

    Raises:
        LookupError: There is none of that name.
    """
    if name not in NAMES:
        raise LookupError(name)
    found = importlib.import_module(f"fuzz.targets.{name}").TARGET
    assert isinstance(found, Target)
    assert found.name == name
    return found


def corpus(name: str) -> dict[str, bytes]:
    """The committed inputs of a target by their file names."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).glob("*"))}


def write_seeds(name: str) -> int:
    """Write the seeds of a target into the corpus; what was found stays. Returns their number."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("seed-*"):
        old.unlink()
    seeds = target(name).seeds()
    for title, data in seeds.items():
        (folder / f"seed-{title}").write_bytes(data)
    return len(seeds)
