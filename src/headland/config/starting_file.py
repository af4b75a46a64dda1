"""The file that `headland init` writes: short, commented, and every key in it parses (a test says so)."""

from __future__ import annotations

import json

import msgspec

from headland.vocabulary import Tier


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What `init` was told.

    Attributes:
        name, site, tier: The node.
        mqtt_port, http_port, link_port: TCP ports; a device node has no listener for children.
        link_address: Where children are listened for.
        data_dir: Where the data will be, relative to the file.
        parent_host, parent_port, parent_name: Whom to send to; "" for a root.
    """

    name: str
    site: str = "site"
    tier: Tier = Tier.LOCAL
    mqtt_port: int = 1883
    http_port: int = 8480
    link_port: int = 8470
    link_address: str = "127.0.0.1"
    data_dir: str = "data"
    parent_host: str = ""
    parent_port: int = 8470
    parent_name: str = ""


def starting_file(start: Start) -> str:
    """The text of node.toml. Commented keys show their defaults."""
    return "".join(
        (
            _NODE.format(
                name=start.name, site=start.site, tier=start.tier.value, data_dir=_quoted(start.data_dir)
            ),
            _LISTEN.format(port=start.mqtt_port),
            _HTTP.format(port=start.http_port),
            _LINK.format(
                address=start.link_address,
                port=start.link_port,
                mark="# " if start.tier is Tier.DEVICE else "",
            ),
            _parent(start),
            _RULES,
            _REST,
        )
    )


def _quoted(text: str) -> str:
    """A TOML string; JSON's form is one."""
    return json.dumps(text)


def _parent(start: Start) -> str:
    mark = "" if start.parent_host else "# "
    return _PARENT.format(
        mark=mark,
        host=start.parent_host or "parent.example.com",
        port=start.parent_port,
        name=start.parent_name or f"{start.site}/parent",
    )


_NODE = """\
# A Headland node. `headland check node.toml` says what is wrong with this file, `headland run node.toml`
# starts it. Every key, with its default: docs/configuration.md. Units are in the names.
# HEADLAND__SECTION__KEY in the environment counts more than this file.

[node]
name = "{name}"
site = "{site}"
tier = "{tier}"             # device, local, regional or cloud: chooses defaults
data_dir = {data_dir}           # relative to this file
# tenant = "acme"           # `site`, `tenant` and `labels` are labels of every series that starts here
# labels = {{ hall = "2" }}

[certificates]              # made by `headland init`; replace them by your own authority's
ca = "certificates/ca.pem"
certificate = "certificates/node.pem"
key = "certificates/node.key"
"""

_LISTEN = """
# MQTT 3.1.1 and 5. Only this machine can reach it. For others: address = "0.0.0.0", transport = "tls", users.
[[listen]]
name = "mqtt"
address = "127.0.0.1"
port = {port}
transport = "tcp"           # tcp, tls, ws or wss
anonymous = true            # refused beyond loopback

# A user; `headland password` makes a password and the hash to keep in the file.
# [[user]]
# name = "gateway-1"
# password = {{ file = "secrets/gateway-1" }}
# publish = ["plant/#"]
# subscribe = ["commands/%u/#"]
"""

_HTTP = """
# Status, /metrics, /healthz, /readyz, and the push of readings.
[http]
address = "127.0.0.1"
port = {port}
# [[http.token]]
# name = "scada"
# token = {{ file = "secrets/scada" }}
# may = ["push", "read"]
"""

_LINK = """
# Where child nodes call: TLS 1.3, certificates on both sides, always. From other machines: "0.0.0.0".
{mark}[link.listen]
{mark}address = "{address}"
{mark}port = {port}
"""

_PARENT = """
# The node that this one sends to.
{mark}[link.parent]
{mark}host = "{host}"
{mark}port = {port}
{mark}name = "{name}"       # its site/name, which its certificate must carry
{mark}profile = "normal"    # or metered: redials seldom
"""

_RULES = """
# What payloads mean. Without a mapping JSON and plain numbers are recognised, and the series is the topic.
# [[mapping]]
# topic = "plant/{machine}/{metric}"
# format = "json"
# value = "$.value"
# time = "$.ts"
# time_unit = "ms"
# series = "{metric}"

# What goes north; the first rule that fits. Without one: changes of more than 5 % (a dead band), in normal.
# [[series]]
# name = "temperatures"
# match = "**/temperature"
# priority = "normal"       # critical, high, normal or low
# filter = { kind = "deadband", ratio = 0.05, floor = 0.5 }
# [[series]]
# name = "logs"             # errors and warnings only
# match = "log"
# filter = { kind = "severity", at_least = "warning" }
# [[series]]
# name = "metrics"          # statistics of a minute
# match = "host/**"
# filter = { kind = "summary", window_s = 60.0 }
# [[series]]
# name = "bearings"         # FFT: features every 5 minutes, a window beyond a limit at once
# match = "**/vibration"
# filter = { kind = "vibration", rate_hz = 2000.0, limits = { kurtosis = 4.0 } }
"""

_REST = """
# [disk]
# budget_bytes = 0            # 0: half of what is free at a start; at least 32 MiB

# [classes.normal]            # 5 attempts, 7 days; leaves with each commit, or in a batch of a minute:
# sync = "every"
# sync_every_s = 60

[ledger]
price_per_gb = 0.0            # what 10^9 bytes on the uplink cost; `headland ledger` then says the bill
currency = "EUR"

[log]
level = "info"
"""
