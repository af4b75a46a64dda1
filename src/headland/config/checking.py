"""What no single key can get wrong: names twice, listeners that would let strangers in, ports twice."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from headland.config.node import NodeConfig
from headland.vocabulary import ConfigurationError

INSECURE_HINT = "use TLS and users, bind 127.0.0.1, or write insecure = true"


def check(config: NodeConfig) -> None:
    """Raise ConfigurationError for the first thing that is wrong across keys."""
    for path, names in (
        ("listen", [one.name for one in config.listen]),
        ("user", [one.name for one in config.user]),
        ("http.token", [one.name for one in config.http.token]),
        ("series", [one.name for one in (*config.series, config.default)]),
        ("rule", [one.name for one in config.rule]),
        ("source", [str(one.get("name", one.get("kind", ""))) for one in config.source]),
    ):
        _unique(path, names)
    _check_ports(config)
    for i, one in enumerate(config.listen):
        place = f"listen[{i}]"
        encrypted = one.transport in ("tls", "wss")
        if one.client_certificates != "none" and not encrypted:
            raise ConfigurationError(
                "client certificates need TLS", path=f"{place}.client_certificates", hint='transport = "tls"'
            )
        _check_open(place, one.address, encrypted=encrypted, anonymous=one.anonymous, insecure=one.insecure)
        if not one.anonymous and one.client_certificates != "required" and not config.user:
            raise ConfigurationError(
                "nobody may connect: there are no users",
                path=place,
                hint="add [[user]], or anonymous = true on loopback",
            )
    http = config.http
    if http.enabled:
        encrypted = http.transport == "tls"
        if http.client_certificates != "none" and not encrypted:
            raise ConfigurationError(
                "client certificates need TLS", path="http.client_certificates", hint='transport = "tls"'
            )
        _check_open(
            "http", http.address, encrypted=encrypted, anonymous=http.anonymous, insecure=http.insecure
        )


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach a listener on `address`."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _check_open(place: str, address: str, *, encrypted: bool, anonymous: bool, insecure: bool) -> None:
    if insecure or is_loopback(address):
        return
    if not encrypted:
        raise ConfigurationError(
            f"plaintext on {address}, beyond loopback", path=f"{place}.transport", hint=INSECURE_HINT
        )
    if anonymous:
        raise ConfigurationError(
            f"anonymous clients on {address}, beyond loopback", path=f"{place}.anonymous", hint=INSECURE_HINT
        )


def _check_ports(config: NodeConfig) -> None:
    taken: dict[tuple[str, int], str] = {}
    places = [(f"listen[{i}]", one.address, one.port) for i, one in enumerate(config.listen)]
    if config.http.enabled:
        places.append(("http", config.http.address, config.http.port))
    if config.link.listen is not None:
        places.append(("link.listen", config.link.listen.address, config.link.listen.port))
    for place, address, port in places:
        other = taken.setdefault((address, port), place) if port else place
        if other != place:
            raise ConfigurationError(f"port {port} is taken by {other}", path=f"{place}.port")


def _unique(path: str, names: Sequence[str]) -> None:
    for i, name in enumerate(names):
        first = names.index(name)
        if first != i:
            raise ConfigurationError(
                f"the name {name!r} is taken by {path}[{first}]",
                path=f"{path}[{i}].name",
                hint="names are unique",
            )
