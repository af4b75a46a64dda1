"""The configuration of a node, whole: one frozen value made of the rooms' own structs."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from headland.config.apportioning import Wishes
from headland.config.sections import (
    CertificatesSection,
    ClassesSection,
    ClassSection,
    DecideSection,
    DiskSection,
    HttpSection,
    JournalSection,
    LedgerSection,
    LinkSection,
    ListenSection,
    LogSection,
    NodeSection,
    UserSection,
)
from headland.journal import JournalConfig
from headland.line.deciding.rules import EventRule
from headland.line.formats.config import FormatLimits, MappingConfig
from headland.line.outbox.settings import DEFAULTS, ClassSettings, Compression, OutboxSettings, Sync
from headland.line.rules import LineRules, SeriesRule
from headland.mqtt.config import MqttConfig
from headland.trust.identity import Identity
from headland.vocabulary import Priority


class NodeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a node can be told. `[name]` is a section, `[[name]]` may stand any number of times."""

    node: Annotated[NodeSection, Meta(description="Which node this is, and where its data is.")]
    certificates: Annotated[
        CertificatesSection, Meta(description="Certificate files, for the link and TLS listeners.")
    ] = msgspec.field(default_factory=CertificatesSection)
    listen: Annotated[tuple[ListenSection, ...], Meta(description="MQTT listeners.")] = ()
    user: Annotated[tuple[UserSection, ...], Meta(description="Users of the MQTT listeners.")] = ()
    mqtt: Annotated[MqttConfig, Meta(description="Limits of the MQTT broker.")] = msgspec.field(
        default_factory=MqttConfig
    )
    http: Annotated[HttpSection, Meta(description="Local HTTP: status, metrics, push.")] = msgspec.field(
        default_factory=HttpSection
    )
    link: Annotated[LinkSection, Meta(description="Children south, parent north.")] = msgspec.field(
        default_factory=LinkSection
    )
    mapping: Annotated[
        tuple[MappingConfig, ...],
        Meta(description="What payloads mean; the first mapping whose topic fits decides."),
    ] = ()
    formats: Annotated[FormatLimits, Meta(description="Bounds on one payload.")] = msgspec.field(
        default_factory=FormatLimits
    )
    series: Annotated[
        tuple[SeriesRule, ...],
        Meta(description="What of which series goes north, and in which class. In order."),
    ] = ()
    default: Annotated[SeriesRule, Meta(description="The rule of all series that no `[[series]]` fits.")] = (
        msgspec.field(default_factory=lambda: SeriesRule(name="default"))
    )
    rule: Annotated[
        tuple[EventRule, ...], Meta(description="When to raise an event, and what to do at once.")
    ] = ()
    source: Annotated[
        tuple[dict[str, Any], ...],
        Meta(description="Readings that this node fetches itself; the keys depend on `kind`."),
    ] = ()
    decide: Annotated[DecideSection, Meta(description="Deciding on readings as they arrive.")] = (
        msgspec.field(default_factory=DecideSection)
    )
    classes: Annotated[ClassesSection, Meta(description="The four classes of store-and-forward.")] = (
        msgspec.field(default_factory=ClassesSection)
    )
    journal: Annotated[JournalSection, Meta(description="The write-ahead log.")] = msgspec.field(
        default_factory=JournalSection
    )
    disk: Annotated[DiskSection, Meta(description="How much disk may be used.")] = msgspec.field(
        default_factory=DiskSection
    )
    ledger: Annotated[LedgerSection, Meta(description="What the bytes cost.")] = msgspec.field(
        default_factory=LedgerSection
    )
    log: Annotated[LogSection, Meta(description="The node's own log.")] = msgspec.field(
        default_factory=LogSection
    )

    @property
    def identity(self) -> Identity:
        """Site and name."""
        return Identity(self.node.site, self.node.name)

    @property
    def rules(self) -> LineRules:
        """Filter and event rules as the line takes them."""
        return LineRules(series=self.series, default=self.default, events=self.rule)

    @property
    def outbox(self) -> OutboxSettings:
        """The four classes as the outbox takes them: the published table with this file's changes."""
        named = self.classes
        critical, high, normal, low = (
            _changed(DEFAULTS[priority], changes)
            for priority, changes in (
                (Priority.CRITICAL, named.critical),
                (Priority.HIGH, named.high),
                (Priority.NORMAL, named.normal),
                (Priority.LOW, named.low),
            )
        )
        return OutboxSettings(classes=(critical, high, normal, low), backlog_share=named.backlog_share)

    @property
    def wishes(self) -> Wishes:
        """Sizes of what is on the disk, as far as the disk budget grants them."""
        return Wishes(
            reserve_bytes=self.disk.reserve_bytes,
            segment_bytes=self.journal.segment_bytes,
            checkpoint_log_bytes=self.journal.checkpoint_log_bytes,
            unstored_bytes_max=self.journal.unstored_bytes_max,
        )

    @property
    def journal_sizes(self) -> JournalConfig:
        """Sizes as the journal takes them."""
        return JournalConfig(
            segment_bytes=self.journal.segment_bytes,
            checkpoint_log_bytes=self.journal.checkpoint_log_bytes,
            checkpoint_ratio=self.journal.checkpoint_ratio,
            segments_max=self.journal.segments_max,
        )


def _changed(row: ClassSettings, changes: ClassSection) -> ClassSettings:
    given = {
        name: value for name in changes.__struct_fields__ if (value := getattr(changes, name)) is not None
    }
    if "ttl_s" in given:
        given["ttl_s"] = given["ttl_s"] or None
    if "compression" in given:
        given["compression"] = Compression(given["compression"])
    if "sync" in given:
        given["sync"] = Sync(given["sync"])
    return msgspec.structs.replace(row, **given)
