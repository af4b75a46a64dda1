"""A scenario: the tree of nodes, the devices, the rules, and what is allowed to go wrong. Read from TOML.

The tables `[[node.series]]`, `[node.default]`, `[[node.rule]]`, `[[node.mapping]]` and `[node.classes]` are
those of a node's own file. Sizes are small on purpose: a run of half a minute shall fill segments, write
checkpoints, spill and recycle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from headland.config.node import NodeConfig
from headland.config.sections import ClassesSection, NodeSection
from headland.journal import JournalConfig
from headland.line.deciding.rules import EventRule
from headland.line.filtering.keep import Keep
from headland.line.formats import MappingConfig
from headland.line.formats.config import Format, TimeUnit
from headland.line.outbox import OutboxSettings
from headland.line.rules import LineRules, SeriesRule
from headland.node.settings import Base, NodeSettings
from headland.simulation.device import Habits, PacketIds
from headland.simulation.faults import FaultMix
from headland.simulation.filtered import Treatment, treatment
from headland.simulation.voices import Voice
from headland.vocabulary import ConfigurationError, Tier

FILE_NAME = "scenario.toml"


DEVICES = MappingConfig(
    topic="#",
    format=Format.JSON,
    value="$.value",
    time="$.ts",
    time_unit=TimeUnit.MS,
    sequence="$.seq",
)
"""What simulated devices send."""


class Sizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sizes of a node's log.

    Attributes:
        segment_bytes: Of one segment.
        checkpoint_log_bytes: Log after which a checkpoint is written.
        checkpoint_ratio: And at least so many times the size of the last one.
        journal_bytes: Log beyond which the oldest segment is emptied into files.
        budget_bytes: Disk for everything together; 0 is no bound.
        reserve_bytes: Of that, kept for critical rows and tombstones.
        file_bytes: Size at which an outbox or store file is full.
        commit_gap_ms: Commits begin at least this far apart, milliseconds.
    """

    segment_bytes: int = 16 << 10
    checkpoint_log_bytes: int = 32 << 10
    checkpoint_ratio: int = 1
    journal_bytes: int = 64 << 10
    budget_bytes: int = 0
    reserve_bytes: int = 64 << 10
    file_bytes: int = 16 << 10
    commit_gap_ms: float = 1.0


class NodeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One node of the tree.

    Attributes:
        name: `site/name`.
        parent: Name of its parent; the one node without is the root.
        tier: Where it stands.
        series: Filter rules in order.
        default: Rule of all other series; keeps everything unless given.
        changed: Filter rules that a change of configuration puts in force, and the next one takes back.
        rule: Event rules.
        mapping: Payloads to readings; what the simulated devices send, unless given.
        classes: Changes to the four classes.
        sizes: Sizes of its log.
    """

    name: str
    parent: str | None = None
    tier: Tier = Tier.LOCAL
    series: tuple[SeriesRule, ...] = ()
    default: SeriesRule = msgspec.field(default_factory=lambda: SeriesRule(name="keep", filter=Keep()))
    changed: tuple[SeriesRule, ...] = ()
    rule: tuple[EventRule, ...] = ()
    mapping: tuple[MappingConfig, ...] = (DEVICES,)
    classes: ClassesSection | None = None
    sizes: Sizes | None = None

    @property
    def rules(self) -> LineRules:
        """Rules as the line takes them."""
        return LineRules(series=self.series, default=self.default, events=self.rule)

    @property
    def changed_rules(self) -> LineRules:
        """Rules after a change of configuration."""
        return LineRules(series=self.changed or self.series, default=self.default, events=self.rule)

    def treatment(self, series: str) -> Treatment:
        """How a series is judged, whatever is in force."""
        return treatment(series, [(self.series, self.default), (self.changed or self.series, self.default)])


class DeviceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Devices that are alike, at one node.

    Attributes:
        name: Client identifier; further ones get a number behind it.
        node: Whom they publish to.
        count: How many.
        series: Series each; their names are `<client>/s<number>`.
        rate_per_s: Readings a second each.
        window: Publishes that may be unacknowledged.
        packet_ids: ascending, or smallest: the smallest free number, so that numbers come again and again.
        late_share: Share of readings that are held back and published after one to three younger ones.
        shared: All of them publish the same series, which are named after `name`.
        voice: In which words they speak: own (JSON with time, sequence and value, judged reading by reading),
            document, mapped, influx, cloudevent, sparkplug, log, samples, packed or words.
        qos: 1, or 0: nothing is acknowledged, and nothing sent again.
    """

    name: str
    node: str
    count: int = 1
    series: int = 1
    rate_per_s: float = 20.0
    window: int = 8
    packet_ids: PacketIds = PacketIds.ASCENDING
    late_share: float = 0.0
    shared: bool = False
    voice: Voice = Voice.OWN
    qos: Literal[0, 1] = 1

    def habits(self, index: int) -> Habits:
        """As the device of this index, from 0, takes them."""
        return Habits(
            series=self.series,
            topic=self.name if self.shared else "",
            sequence=(index, self.count) if self.shared else (0, 1),
            interval_ns=int(1e9 / self.rate_per_s),
            window=self.window,
            packet_ids=self.packet_ids,
            late_share=self.late_share,
            voice=self.voice,
            qos=self.qos,
        )


class FeedSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who brings readings otherwise.

    Attributes:
        name: Its name.
        node: To whom.
        kind: push (an HTTP client) or tail (a source of the node itself, with positions).
        rate_per_s: So often.
    """

    name: str
    node: str
    kind: Literal["push", "tail"] = "push"
    rate_per_s: float = 5.0


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is simulated.

    Attributes:
        duration_s: How long devices publish and things go wrong, simulated seconds.
        settle_s: Within this long after the last fault everything has to have arrived.
        node: The tree.
        device: Who publishes.
        feed: Who brings readings otherwise.
        sizes: Sizes of nodes that give none.
        classes: Classes of nodes that give none.
        faults: What goes wrong, how often.
        intents: Whether nodes have files that an operator's intents at their parents can be laid over.
    """

    node: tuple[NodeSpec, ...]
    device: tuple[DeviceSpec, ...]
    feed: tuple[FeedSpec, ...] = ()
    duration_s: float = 20.0
    settle_s: float = 120.0
    sizes: Sizes = Sizes()
    classes: ClassesSection = ClassesSection()
    faults: FaultMix = FaultMix()
    intents: bool = False

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.node]
        if len(set(names)) < len(names):
            raise ConfigurationError("two nodes have one name", path="node")
        for spec in self.node:
            if spec.parent is not None and spec.parent not in names:
                raise ConfigurationError(f"no node is named {spec.parent!r}", path="node.parent")
        if sum(spec.parent is None for spec in self.node) != 1:
            raise ConfigurationError("exactly one node has no parent", path="node.parent")
        for node in [device.node for device in self.device] + [feed.node for feed in self.feed]:
            if node not in names:
                raise ConfigurationError(f"no node is named {node!r}", path="device.node")

    @property
    def root(self) -> NodeSpec:
        """The node that stores."""
        return next(spec for spec in self.node if spec.parent is None)

    def spec(self, name: str) -> NodeSpec:
        """A node by its name."""
        return next(spec for spec in self.node if spec.name == name)

    def settings(self, spec: NodeSpec) -> NodeSettings:
        """A node as the core takes it."""
        sizes = spec.sizes or self.sizes
        return NodeSettings(
            name=spec.name,
            tier=spec.tier,
            has_parent=spec.parent is not None,
            mappings=spec.mapping,
            line=spec.rules,
            outbox=self.outbox(spec),
            journal=JournalConfig(
                segment_bytes=sizes.segment_bytes,
                checkpoint_log_bytes=sizes.checkpoint_log_bytes,
                checkpoint_ratio=sizes.checkpoint_ratio,
            ),
            journal_bytes=sizes.journal_bytes,
            budget_bytes=sizes.budget_bytes,
            reserve_bytes=sizes.reserve_bytes,
            commit_gap_ms=sizes.commit_gap_ms,
        )

    def base(self, spec: NodeSpec) -> Base:
        """A node as its file would tell it, so that intents can be laid over it."""
        site, _, name = spec.name.rpartition("/")
        settings = self.settings(spec)
        tree: dict[str, Any] = {
            "node": {"name": name, "site": site, "tier": str(spec.tier)},
            "mapping": msgspec.to_builtins(spec.mapping),
            "series": msgspec.to_builtins(spec.series),
            "default": msgspec.to_builtins(spec.default),
            "rule": msgspec.to_builtins(spec.rule),
            "classes": msgspec.to_builtins(spec.classes or self.classes),
        }
        if settings.budget_bytes:  # smaller than a file may say: intents are refused
            tree["disk"] = {"budget_bytes": settings.budget_bytes}
        if spec.parent is not None:
            tree["link"] = {"parent": {"host": "127.0.0.1", "name": spec.parent}}
        return Base(settings=settings, digest=settings.line.version, tree=tree)

    def outbox(self, spec: NodeSpec) -> OutboxSettings:
        """Classes of a node: the published table with the changes of the scenario."""
        site, _, name = spec.name.rpartition("/")
        section = NodeSection(name=name, site=site)
        return NodeConfig(node=section, classes=spec.classes or self.classes).outbox


def load(path: Path) -> Scenario:
    """Read a scenario from a TOML file, or from `scenario.toml` in a folder.

    Raises:
        ConfigurationError: It cannot be read, or something in it is wrong.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        return msgspec.toml.decode(file.read_bytes(), type=Scenario)
    except OSError as error:
        raise ConfigurationError(str(error.strerror), file=str(file)) from None
    except (msgspec.MsgspecError, ConfigurationError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(error), file=str(file)) from None
