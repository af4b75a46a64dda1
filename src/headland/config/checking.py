"""What no single key can get wrong: names twice, open doors, ports twice, rules that cannot be built."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from headland.config.acts import check_acts, check_words
from headland.config.apportioning import apportion
from headland.config.node import NodeConfig
from headland.line.deciding.expressions import Compiled
from headland.line.deciding.rules import Expression
from headland.line.filtering.shape import class_of
from headland.line.formats import Mapping
from headland.link.protocol import MAX_LABELS
from headland.vocabulary import ConfigurationError, SeriesTable

LABEL_CHARS = 63
INSECURE_HINT = "use TLS and users, bind 127.0.0.1, or write insecure = true"


def source_name(table: dict[str, Any]) -> str:
    """Name of a `[[source]]`: its kind where it says none, whatever its place in the file.

    Positions are kept by name: two of one kind need names of their own.
    """
    return str(table.get("name") or table.get("kind", ""))


def check(config: NodeConfig) -> None:
    """Raise ConfigurationError for the first thing that is wrong across keys."""
    for path, names in (
        ("listen", [one.name for one in config.listen]),
        ("user", [one.name for one in config.user]),
        ("http.token", [one.name for one in config.http.token]),
        ("series", [one.name for one in (*config.series, config.default)]),
        ("rule", [one.name for one in config.rule]),
        ("source", list(map(source_name, config.source))),
    ):
        _unique(path, names)
    _check_ports(config)
    _check_labels(config)
    for i, one in enumerate(config.listen):
        place = f"listen[{i}]"
        encrypted = one.transport in ("tls", "wss")
        if one.client_certificates != "none" and not encrypted:
            raise ConfigurationError(
                "client certificates need TLS", path=f"{place}.client_certificates", hint='transport = "tls"'
            )
        if one.certificate_names and one.client_certificates == "none":
            raise ConfigurationError(
                "no client shows a certificate here",
                path=f"{place}.certificate_names",
                hint='client_certificates = "required"',
            )
        _check_open(place, one.address, encrypted=encrypted, anonymous=one.anonymous, insecure=one.insecure)
        if not one.anonymous and not one.certificate_names and not config.user:
            raise ConfigurationError(
                "nobody may connect: there are no users",
                path=place,
                hint="add [[user]]; or certificate_names, or anonymous = true on loopback",
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
    _check_disk(config)
    _check_north(config)
    _check_line(config)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach a listener on `address`."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _check_disk(config: NodeConfig) -> None:
    if config.disk.budget_bytes:
        apportion(config.disk.budget_bytes, config.wishes)


def _check_labels(config: NodeConfig) -> None:
    for name in ("site", "tenant"):
        if name in config.node.labels:
            raise ConfigurationError(
                "a key of its own", path=f"node.labels.{name}", hint=f'[node] {name} = "..." is this label'
            )
    for name in config.node.labels:
        if not 1 <= len(name) <= LABEL_CHARS:
            raise ConfigurationError(
                f"the name of a label has 1 to {LABEL_CHARS} characters", path="node.labels"
            )
    most = MAX_LABELS - len(config.node.series_labels)
    if config.formats.max_labels > most:
        raise ConfigurationError(
            f"with those of [node] more than the {MAX_LABELS} labels that a parent takes",
            path="formats.max_labels",
            hint=f"at most {most}",
        )


def _check_north(config: NodeConfig) -> None:
    parent = config.link.parent
    if parent is not None and parent.name == str(config.identity):
        raise ConfigurationError("a node cannot be its own parent", path="link.parent.name")
    if config.classes.critical.ttl_s:
        raise ConfigurationError(
            "critical rows never expire", path="classes.critical.ttl_s", hint="leave it out, or 0"
        )


def _check_line(config: NodeConfig) -> None:
    """Build what a start would build from rules and mappings, and throw it away."""
    Mapping(config.mapping, SeriesTable(), config.formats)
    for i, rule in enumerate((*config.series, config.default)):
        place = f"series[{i}]" if i < len(config.series) else "default"
        try:
            rule.filter.build(rule.name, rule.version, class_of(rule.urgency))
        except ConfigurationError as error:
            raise _within(place, error) from None
        check_words(f"{place}.group", rule.group, (rule.match, *rule.labels.values()), ("name", "rule"))
    for i, event in enumerate(config.rule):
        if isinstance(event.when, Expression):
            try:
                instead = Compiled(event.when.expression, event.name).gives_instead()
            except ConfigurationError as error:
                raise _within(f"rule[{i}]", error) from None
            if instead:
                raise ConfigurationError(
                    f"the expression gives {instead}, not true or false",
                    path=f"rule[{i}].when.expression",
                    hint="compare it: value > 1.0",
                )
        check_acts(f"rule[{i}]", event)


def _within(place: str, error: ConfigurationError) -> ConfigurationError:
    path = f"{place}.{error.path}" if error.path else place
    return ConfigurationError(error.args[0], path=path, hint=error.hint)


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
