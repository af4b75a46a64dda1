"""`headland version`: which Headland this is, and what it runs on."""

from __future__ import annotations

import importlib.util
import platform

import click
import msgspec

from headland import __version__


class Version(msgspec.Struct, frozen=True):
    """What `headland version --json` prints."""

    version: str
    python: str
    platform: str
    compiled: bool
    """Whether the MQTT codec is a compiled module here; plain Python otherwise, several times slower."""


@click.command(name="version")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Say which Headland this is, and what it runs on."""
    version = Version(
        __version__, platform.python_version(), platform.platform(terse=True), codec_is_compiled()
    )
    if as_json:
        click.echo(msgspec.json.encode(version).decode())
    else:
        codec = "compiled" if version.compiled else "plain Python"
        click.echo(
            f"headland {version.version} (Python {version.python}, {version.platform}, MQTT codec: {codec})"
        )


def codec_is_compiled() -> bool:
    """Looks where the codec would be imported from, without importing it."""
    spec = importlib.util.find_spec("headland.mqtt.codec")
    return spec is not None and spec.origin is not None and not spec.origin.endswith(".py")
