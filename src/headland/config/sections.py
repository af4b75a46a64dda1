"""The sections of a node's file that belong to no room: where it is, whom it listens to, whom it calls.

Every key has a description here; the reference, the JSON Schema and the annotated example are made from it.
Units are in the names: `_s` seconds, `_ms` milliseconds, `_bytes` bytes, `_ratio` and `_share` 0 to 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from headland.config.secrets import Secret
from headland.vocabulary import Tier

Port = Annotated[int, Meta(ge=0, le=65535)]
NotNegativeCount = Annotated[int, Meta(ge=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
AtLeastOne = Annotated[float, Meta(ge=1)]
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
LabelText = Annotated[str, Meta(max_length=255)]


class NodeSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which node this is, and where it keeps its data."""

    name: Annotated[
        Name,
        Meta(
            description="Name of the node in its site: a-z, 0-9, - and _, at most 63.", examples=["press-7"]
        ),
    ]
    site: Annotated[
        Name,
        Meta(
            description="Site; `site/name` is unique in a fleet and stands in the certificate. The label "
            "`site` of every series that starts at this node."
        ),
    ] = "site"
    tenant: Annotated[
        Name | None,
        Meta(
            description="Whose site it is: the label `tenant` of every series that starts here.",
            examples=["acme"],
        ),
    ] = None
    tier: Annotated[
        Tier, Meta(description="Where the node stands. Chooses a row of defaults and nothing else.")
    ] = Tier.LOCAL
    data_dir: Annotated[
        str, Meta(description="Directory of journal, outbox and state; relative to this file.", min_length=1)
    ] = "data"
    labels: Annotated[
        dict[str, LabelText],
        Meta(
            description="Further labels of every series that starts at this node, at most 16; `site` and "
            "`tenant` are keys of their own. A label of the same name that a mapping, a source or a pushed "
            "reading brings counts more, also for `site` and `tenant`; which node a row is from stands in "
            "`_origin` and `_site` of a query, from its certificate. Another label makes another series.",
            max_length=16,
        ),
    ] = {}

    @property
    def series_labels(self) -> tuple[tuple[str, str], ...]:
        """Labels of every series that starts at this node, sorted."""
        tenant = {} if self.tenant is None else {"tenant": self.tenant}
        return tuple(sorted(({"site": self.site} | tenant | self.labels).items()))


class CertificatesSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The node's certificate, for the link and for every TLS listener. PEM files, relative to this file."""

    ca: Annotated[str, Meta(description="Authority that parents, children and clients are trusted by.")] = (
        "certificates/ca.pem"
    )
    certificate: Annotated[str, Meta(description="This node's certificate, with its chain.")] = (
        "certificates/node.pem"
    )
    key: Annotated[str, Meta(description="Its private key, readable by the node's user only.")] = (
        "certificates/node.key"
    )


class ListenSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An MQTT listener. Any number of them."""

    name: Annotated[str, Meta(description="Name in logs and metrics, unique.", min_length=1)] = "mqtt"
    address: Annotated[
        str, Meta(description="Address to bind; beyond loopback it needs TLS and users, or `insecure`.")
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="TCP port; 0 takes a free one.")] = 1883
    transport: Annotated[
        Literal["tcp", "tls", "ws", "wss"],
        Meta(description="Plain TCP, TLS, WebSocket, WebSocket over TLS."),
    ] = "tcp"
    path: Annotated[str, Meta(description="Path of the WebSocket transports.")] = "/mqtt"
    origins: Annotated[
        tuple[str, ...],
        Meta(description="Web pages of other hosts that may connect by WebSocket: scheme://host:port, or *."),
    ] = ()
    anonymous: Annotated[
        bool, Meta(description="Whether clients without user or certificate are let in.")
    ] = False
    client_certificates: Annotated[
        Literal["none", "optional", "required"],
        Meta(description="Whether TLS clients show certificates; the name in it is then the user."),
    ] = "none"
    certificate_names: Annotated[
        tuple[str, ...],
        Meta(description="Names in certificates that need no [[user]] and may everything; `*` is any part."),
    ] = ()
    insecure: Annotated[
        bool,
        Meta(description="Says by name that plaintext or anonymous clients are wanted beyond loopback."),
    ] = False
    connections_max: Annotated[int, Meta(ge=1, description="Connections of this listener at once.")] = 10_000
    connections_per_address_max: Annotated[
        int, Meta(ge=0, description="Of those, from one source address; 0 for no such bound.")
    ] = 0
    tls_handshake_s: Annotated[
        float, Meta(gt=0, le=300, description="Time a client has for the TLS handshake, seconds.")
    ] = 10.0


class UserSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A user of the MQTT listeners. There is none, and no password, unless it is written here."""

    name: Annotated[
        str,
        Meta(
            description="User name, or the name in a client certificate.",
            min_length=1,
            examples=["gateway-1"],
        ),
    ]
    password: Annotated[
        Secret | None,
        Meta(
            description="Reference to the password or (better) to its hash, as `headland password` makes it."
        ),
    ] = None
    publish: Annotated[
        tuple[str, ...],
        Meta(description="Topic filters that may be published to; %u is the user's name."),
    ] = ("#",)
    subscribe: Annotated[
        tuple[str, ...],
        Meta(description="Topic filters that may be subscribed to; %u as above."),
    ] = ("#",)


class TokenSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bearer token of the HTTP listener."""

    name: Annotated[
        str,
        Meta(description="Who bears it; stands in the ledger and logs.", min_length=1, examples=["scada"]),
    ]
    token: Annotated[
        Secret, Meta(description="Reference to the token, at least 16 characters.", examples=[{"env": "T"}])
    ]
    may: Annotated[
        tuple[Literal["push", "read", "operate"], ...],
        Meta(description="push readings, read status and metrics, operate (queue, reload)."),
    ] = ("push", "read")


class HttpSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The local HTTP interface: `/metrics`, `/healthz`, `/readyz`, status, and the push of readings."""

    enabled: Annotated[bool, Meta(description="Whether there is one.")] = True
    address: Annotated[
        str, Meta(description="Address to bind; beyond loopback it needs TLS and tokens, or `insecure`.")
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="TCP port; 0 takes a free one.")] = 8480
    transport: Annotated[Literal["tcp", "tls"], Meta(description="Plain HTTP or HTTPS.")] = "tcp"
    client_certificates: Annotated[
        Literal["none", "optional", "required"], Meta(description="Whether HTTPS clients show certificates.")
    ] = "none"
    anonymous: Annotated[bool, Meta(description="Whether requests without a token are served.")] = True
    insecure: Annotated[
        bool,
        Meta(description="Says by name that plaintext or anonymous requests are wanted beyond loopback."),
    ] = False
    token: Annotated[tuple[TokenSection, ...], Meta(description="Bearer tokens.")] = ()
    connections_max: Annotated[int, Meta(ge=1, description="Connections at once.")] = 1_000
    body_bytes_max: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="Largest request body, bytes; more is answered 413.")
    ] = 4 * 1024 * 1024
    bodies_bytes_max: Annotated[
        int,
        Meta(
            ge=1024,
            description="Bytes of the bodies of all requests that wait; more is answered 503. "
            "At least `body_bytes_max`.",
        ),
    ] = 64 * 1024 * 1024
    hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Further names that plaintext requests without a token may ask for; * for any: "
            "addresses, localhost and the machine's own name need not be here.",
            examples=[["gateway.plant.example"]],
        ),
    ] = ()
    request_s: Annotated[
        float, Meta(gt=0, description="Time from a request's first byte to its last, seconds.")
    ] = 30.0
    keep_alive_s: Annotated[
        float, Meta(gt=0, description="How long an idle connection is kept, seconds.")
    ] = 75.0


class LinkListenSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where children call. TLS 1.3 with certificates of the authority on both sides, always."""

    name: Annotated[str, Meta(description="Name in logs and metrics.", min_length=1)] = "link"
    address: Annotated[str, Meta(description="Address to bind.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="TCP port; 0 takes a free one.")] = 8470
    children: Annotated[
        tuple[str, ...],
        Meta(description="Who may call: patterns of `site/name`, `*` standing for any part of it."),
    ] = ("*",)
    connections_max: Annotated[int, Meta(ge=1, description="Children connected at once.")] = 1_000


class ParentSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The node that this one sends to. Without it the node is the root of its tree."""

    host: Annotated[
        str, Meta(description="Host name or address.", min_length=1, examples=["cloud.example.com"])
    ]
    port: Annotated[Port, Meta(description="TCP port.")] = 8470
    name: Annotated[
        str,
        Meta(
            description="The parent's `site/name`, which its certificate must carry.",
            pattern="^[a-z0-9][a-z0-9_-]{0,62}/[a-z0-9][a-z0-9_-]{0,62}$",
            examples=["site/cloud"],
        ),
    ]
    profile: Annotated[
        Literal["normal", "metered"],
        Meta(
            description="normal: redial every second for ten minutes; metered: the long steps from the start."
        ),
    ] = "normal"


class LinkSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The tree: children south, parent north."""

    listen: Annotated[LinkListenSection | None, Meta(description="Listener for children.")] = None
    parent: Annotated[ParentSection | None, Meta(description="The parent.")] = None


class JournalSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The write-ahead log: what an acknowledgement rests on."""

    segment_bytes: Annotated[
        int,
        Meta(
            ge=1 << 20,
            le=1 << 30,
            description="Size of a preallocated segment file, bytes; at most a twentieth of the disk budget.",
        ),
    ] = 64 * 1024 * 1024
    segments_max: Annotated[
        int, Meta(ge=2, le=1024, description="Segments above which a checkpoint is taken in any case.")
    ] = 32
    checkpoint_log_bytes: Annotated[
        int, Meta(ge=1 << 20, description="Log since the last checkpoint that makes another due, bytes.")
    ] = 64 * 1024 * 1024
    checkpoint_ratio: Annotated[
        int, Meta(ge=1, description="But not before the log is this many times the last checkpoint's size.")
    ] = 16
    commit_gap_ms: Annotated[
        float, Meta(ge=0, le=1000, description="Commits begin at least this far apart, milliseconds.")
    ] = 1.0
    block_rows: Annotated[
        int, Meta(ge=1, le=65_535, description="Rows at which a block of a class is sealed.")
    ] = 1000
    unstored_bytes_max: Annotated[
        int,
        Meta(
            ge=1 << 20,
            le=128 << 20,
            description="Readings in memory while the disk takes none; then nothing is read.",
        ),
    ] = 64 * 1024 * 1024


class DiskSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much disk the node may use, journal, outbox and local rows together.

    Sizes of segments, files and the reserve shrink with the budget so that they fit it; `headland check` says
    how it is divided.
    """

    budget_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="Upper bound, bytes, at least 32 MiB; 0 takes half of what is free and ours.",
        ),
    ] = 0
    reserve_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="Of that, held back for answers, tombstones, the ledger and checkpoints when nothing "
            "more is taken in, bytes; at most an eighth counts.",
        ),
    ] = 64 * 1024 * 1024


class DecideSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Decisions on readings as they arrive."""

    budget_ms: Annotated[
        float, Meta(gt=0, description="From arrival to actuation, milliseconds; later is counted as a miss.")
    ] = 10.0
    waiting_bytes_max: Annotated[
        int,
        Meta(ge=1 << 20, description="Bytes read and not yet decided on, in all; beyond it nothing is read."),
    ] = 64 * 1024 * 1024
    real_time: Annotated[
        bool, Meta(description="Whether the deciding thread asks for SCHED_FIFO; a refusal is reported.")
    ] = True


class LedgerSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the bytes cost."""

    price_per_gb: Annotated[
        float, Meta(ge=0, description="Price of 10^9 bytes sent north; 0 if it is not known.")
    ] = 0.0
    currency: Annotated[str, Meta(description="Currency of the price.", max_length=8)] = "EUR"


class LogSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The node's own log, JSON lines on stderr."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severity that is written.")
    ] = "info"


class ClassSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes to one class of store-and-forward; what is not given stays as published."""

    max_retries: Annotated[
        NotNegativeCount | None,
        Meta(description="Attempts that answers may spend before a block is a dead letter."),
    ] = None
    initial_timeout_s: Annotated[
        Positive | None, Meta(description="First wait before another attempt, seconds.")
    ] = None
    backoff_factor: Annotated[
        AtLeastOne | None, Meta(description="By how much each further wait is longer.")
    ] = None
    backoff_max_s: Annotated[Positive | None, Meta(description="Longest wait, seconds.")] = None
    ttl_s: Annotated[
        NotNegative | None, Meta(description="Age at which an unsent block expires, seconds; 0 never.")
    ] = None
    compression: Annotated[
        Literal["none", "lz4", "zstd", "zstd_9"] | None, Meta(description="Packing of block bodies.")
    ] = None
    sync: Annotated[
        Literal["real_time", "every", "on_demand"] | None,
        Meta(description="When rows are sealed and sent: with each commit, at an interval, or when asked."),
    ] = None
    sync_every_s: Annotated[
        Positive | None, Meta(description="Interval of sync every, seconds (60 and 300 as published).")
    ] = None


class ClassesSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The four classes of store-and-forward."""

    critical: Annotated[ClassSection, Meta(description="Never expires, never shed.")] = ClassSection()
    high: Annotated[ClassSection, Meta(description="Kept for a day.")] = ClassSection()
    normal: Annotated[ClassSection, Meta(description="Kept for a week.")] = ClassSection()
    low: Annotated[ClassSection, Meta(description="Kept for 30 days, sheds first.")] = ClassSection()
    backlog_share: Annotated[
        float,
        Meta(ge=0.05, le=0.95, description="Share of the link that backlog keeps beside live data, 0 to 1."),
    ] = 0.3
