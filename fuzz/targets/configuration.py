"""A node's TOML file."""

from __future__ import annotations

import msgspec

from fuzz.registry import ROOT
from fuzz.target import Target, hold
from headland.config.loading import parse
from headland.sources.registry import built_in
from headland.vocabulary import ConfigurationError

KINDS = {one.kind: one.config for one in built_in()}


def check(data: bytes) -> bytes:
    """A file is a configuration or one error that names the file; read again it is the same."""
    try:
        config, overridden = parse(data, "node.toml", {}, KINDS)
    except ConfigurationError as error:
        hold(str(error).startswith("node.toml"), f"an error without its file: {error}")
        return str(error).encode("utf-8", "backslashreplace")
    hold(overridden == (), f"{overridden}")
    again, _ = parse(data, "node.toml", {}, KINDS)
    hold(again == config, "one file, two configurations")
    return msgspec.json.encode(repr(config))


def seeds() -> dict[str, bytes]:
    """What `headland init` writes, and the tables of the documented example, one by one."""
    example = (ROOT / "docs" / "configuration.example.toml").read_text()
    made = {"none": b"", "example": example.encode()}
    table: list[str] = []
    for line in [*example.splitlines(), "[end]"]:
        if line.startswith("["):
            if table:
                made[f"table-{len(made):02}"] = "\n".join(table).encode()
            table = []
        if line and not line.startswith("#"):
            table.append(line)
    return made


TARGET = Target(
    name="configuration",
    law="a file is a configuration, or one error that names the file, and the same when read again",
    check=check,
    seeds=seeds,
    words=(
        b"[[",
        b"]]",
        b"= ",
        b'"""',
        b"'''",
        b"inf",
        b"nan",
        b"-1",
        b"9223372036854775807",
        b"2023-01-01",
        b"\\u0000",
        b"{ ",
        b"true",
        b"[[source]]\nkind = ",
        b"\xff",
    ),
    rounds=400,
    input_bytes_max=16_000,
)
