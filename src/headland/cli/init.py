"""`headland init`: a directory that a node can run from."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import socket
from pathlib import Path

import click
import msgspec

from headland.config.starting_file import Start, starting_file
from headland.drivers.keys import PUBLIC_FILE, alone, make_private_directory, write_file
from headland.trust.authority import Authority
from headland.trust.identity import Identity, is_name
from headland.vocabulary import ConfigurationError, Tier

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Made(msgspec.Struct, frozen=True):
    """What `headland init --json` prints."""

    file: str
    name: str
    tier: str
    ca: str
    """Directory of the authority; give it to the next `headland init --ca`."""
    ca_made: bool


@click.command(name="init")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--tier", type=click.Choice([tier.value for tier in Tier]), default="local", show_default=True)
@click.option("--name", help="Name of the node. [default: the directory's]")
@click.option("--site", default="site", show_default=True, help="Site of the node.")
@click.option("--parent", metavar="HOST:PORT", default="", help="The node to send to.")
@click.option("--parent-name", metavar="[SITE/]NAME", default="", help="Its name, as in its certificate.")
@click.option(
    "--ca", type=click.Path(path_type=Path, file_okay=False), help="Directory of an authority to reuse."
)
@click.option(
    "--host", multiple=True, metavar="HOST", help="A name or address that clients call the node by."
)
@click.option(
    "--listen",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where children are listened for; 0.0.0.0 for those on other machines.",
)
@click.option(
    "--data-dir", default="data", show_default=True, help="Where its data will be; relative to the file."
)
@click.option("--mqtt-port", type=click.IntRange(0, 65535), default=1883, show_default=True)
@click.option("--http-port", type=click.IntRange(0, 65535), default=8480, show_default=True)
@click.option("--link-port", type=click.IntRange(0, 65535), default=8470, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    directory: Path,
    tier: str,
    name: str | None,
    site: str,
    parent: str,
    parent_name: str,
    ca: Path | None,
    host: tuple[str, ...],
    listen: str,
    data_dir: str,
    mqtt_port: int,
    http_port: int,
    link_port: int,
    as_json: bool,
) -> None:
    """Write a commented starting file, and a development authority with a certificate for the node.

    Nodes that shall know each other share an authority: give --ca with the `ca` directory of the first one.
    There are no default passwords: only this machine can reach the listeners until the file says otherwise,
    but for children where --listen says so: they show certificates.
    """
    if not _is_address(listen):
        hint = "0.0.0.0, ::, or an address of this machine"
        raise ConfigurationError(f"{listen!r} is no address", path="--listen", hint=hint)
    identity = Identity(site, name if name is not None else _name_of(directory))
    parent_host, parent_port, full_name = _parent(parent, parent_name, site)
    start = Start(
        name=identity.name,
        site=site,
        tier=Tier(tier),
        mqtt_port=mqtt_port,
        http_port=http_port,
        link_port=link_port,
        link_address=listen,
        data_dir=data_dir,
        parent_host=parent_host,
        parent_port=parent_port,
        parent_name=full_name,
    )
    made = make_node(directory, identity, start, ca, host, dt.datetime.now(dt.UTC))
    if as_json:
        click.echo(msgspec.json.encode(made).decode())
    else:
        click.echo(f"made {made.file} for {made.name} ({tier})")
        click.echo(f"{'made' if made.ca_made else 'used'} the authority in {made.ca}")
        if made.ca_made and parent:
            click.echo(
                f"note: {full_name} refuses this node unless it trusts that authority (--ca reuses one)"
            )
        click.echo(f"next: headland check {made.file} && headland run {made.file}")


def make_node(
    directory: Path,
    identity: Identity,
    start: Start,
    ca: Path | None,
    hosts: tuple[str, ...],
    now: dt.datetime,
) -> Made:
    """Write everything of a new node.

    Raises:
        ConfigurationError: a name is not one, the directory already holds a node, or it cannot be written.
        TrustError: the authority to be reused is not usable.
    """
    for what, text in (("--site", identity.site), ("--name", identity.name)):
        if not is_name(text):
            raise ConfigurationError(
                f"{text!r} is not a name",
                path=what,
                hint="a-z, 0-9, - and _, at most 63, a letter or digit first",
            )
    file = directory / "node.toml"
    if file.exists():
        raise ConfigurationError("there is a node already", file=str(file), hint="choose another directory")
    authority_dir = ca if ca is not None else directory / "ca"
    certificates = directory / "certificates"
    try:
        if ca is None:
            make_private_directory(directory)
        authority, new = _authority(authority_dir, now)
        make_private_directory(directory)
        issued = authority.issue(identity, now, hosts=(*LOOPBACK, *hosts))
        make_private_directory(certificates)
        write_file(certificates / "ca.pem", authority.certificate_pem, PUBLIC_FILE)
        write_file(certificates / "node.pem", issued.certificate_pem, PUBLIC_FILE)
        write_file(certificates / "node.key", issued.key_pem)
        if not Path(start.data_dir).is_absolute():
            make_private_directory(directory / start.data_dir)
        write_file(file, starting_file(start).encode())
    except OSError as error:
        raise ConfigurationError(f"{error.strerror}", file=str(error.filename or directory)) from None
    return Made(str(file), str(identity), start.tier.value, str(authority_dir), new)


def _authority(directory: Path, now: dt.datetime) -> tuple[Authority, bool]:
    """The authority of a directory, and whether it was made now: once, however many ask at a time."""
    if not directory.exists():
        make_private_directory(directory)
    with alone(directory):
        if (directory / "ca.pem").exists():
            return Authority.load(directory), False
        authority = Authority.create(now)
        write_file(directory / "ca.key", authority.key_pem())
        write_file(directory / "ca.pem", authority.certificate_pem, PUBLIC_FILE)
        return authority, True


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return text == "localhost"
    return True


def _name_of(directory: Path) -> str:
    text = re.sub(r"[^a-z0-9_-]+", "-", directory.resolve().name.lower()).strip("-_")[:63]
    return text or re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")[:63] or "node"


def _parent(text: str, name: str, site: str) -> tuple[str, int, str]:
    if not text:
        return "", 8470, ""
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, "8470"
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigurationError(f"{text!r} is not HOST:PORT", path="--parent")
    if not name:
        raise ConfigurationError(
            "the parent's name is needed, too",
            path="--parent-name",
            hint="as its certificate says: SITE/NAME or NAME",
        )
    full = name if "/" in name else f"{site}/{name}"
    if not all(map(is_name, full.split("/"))) or full.count("/") != 1:
        raise ConfigurationError(f"{name!r} is not SITE/NAME or NAME", path="--parent-name")
    return host.strip("[]"), int(port), full
