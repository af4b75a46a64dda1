"""Configuration while a node runs: what is in force, what came down for it, and what a restart goes by.

Laws

* What is in force is the file, with the newest intent of the parent laid over it. An intent replaces lists
  (`mapping`, `series`, `rule`) as a whole and tables key by key.
* The file's word counts more: when its own digest has changed since it was last read, an intent ends.
  Otherwise a restart goes on under the intent.
* A file or an intent that is wrong changes nothing; its path and hint are in the log and the status.
* An intent is reported as applied when the commit that holds it is durable.
* Who may enter (`user`, `http.token`), which programs are run (`act` of kind `command`) and which secrets are
  sent (`authorization`) is for the file alone: a parent says what happens to readings, it gets no shell.

STATE section "config", msgpack array of `Record`. The first one of a data directory holds the rules of the
first start, under which the commits from there on are replayed; later rules are the line's own state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headland.config.apportioning import JOURNAL_SEGMENTS
from headland.config.changes import LIVE
from headland.config.loading import build, read_toml
from headland.config.node import NodeConfig
from headland.line.formats import Mapping
from headland.line.line import Ready
from headland.line.rules import LineRules
from headland.line.stages import MS
from headland.link.actions import Intent
from headland.link.protocol import IntentStatus
from headland.node import events as ev
from headland.node.forwarding import budgets_ms
from headland.node.settings import Base, NodeSettings, apportioned
from headland.vocabulary import ConfigurationError, Instant

if TYPE_CHECKING:
    from headland.node.core import Node, Parts

OWNER = "config"
KIND = "config"
"""Kind of the intents that are handled here."""
FROM_ABOVE = LIVE - {"user", "http.token", "log"}
"""Keys that an intent may set."""
BODY_MAX = 128 * 1024
"""Bytes of an intent: it is parsed between two decisions, which it must not delay for long."""
SUPERSEDED = "the node's own file was changed since"


class Record(msgspec.Struct, frozen=True, array_like=True):
    """What a restart goes by.

    Attributes:
        digest: Of the file as last read.
        version: Newest intent that was applied, 0 for none.
        intent: Its TOML while it is in force, else b"".
        rules: Canonical rules of the first start; b"" in every later record.
    """

    digest: str
    version: int = 0
    intent: bytes = b""
    rules: bytes = b""


class ConfigStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of its configuration.

    Attributes:
        digest: Of the file that is in force.
        rules_version: Digest of the rules in force.
        intent_version: Newest intent of the parent that was applied, 0 for none.
        intent: "none", "applied", "superseded" by the file, or "refused" when a newer one was.
        intent_detail: Why, if not applied.
        restart: Keys of the file that count from the next start.
        refused: Why the newest file is not in force; "" when it is.
    """

    digest: str
    rules_version: str
    intent_version: int
    intent: str
    intent_detail: str
    restart: tuple[str, ...]
    refused: str


_records = msgspec.msgpack.Decoder(Record)


class Reloading:
    """The configuration of one node; nothing here touches a file.

    Attributes:
        base: What the file says.
        record: As in the journal, or in the open commit.
        restart: Keys that wait for a restart.
        refused: Why the newest file is not in force, or "".
        told: What became of the newest intent, or None.
    """

    def __init__(self) -> None:
        self.base: Base | None = None
        self.record: Record | None = None
        self.restart: tuple[str, ...] = ()
        self.refused = ""
        self.told: IntentStatus | None = None
        self._told_n = 0

    # ── at start ───────────────────────────────────────────────────────────────────────────────────
    def replay(self, data: bytes, parts: Parts) -> None:
        """A STATE section of a recovered commit; the first brings the rules that the replay begins with."""
        record = _records.decode(data)
        if self.record is None and record.rules:
            rules = msgspec.json.decode(record.rules, type=LineRules)
            parts.intake.line = parts.intake.line.with_rules(rules)
        self.record = msgspec.structs.replace(record, rules=b"")

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        return msgspec.msgpack.encode(self.record)

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        self.record = msgspec.msgpack.decode(data, type=Record | None)

    def resume(self, node: Node, base: Base, now: Instant) -> None:
        """Recovery is over: put in force what the file and the journal say together."""
        self.base = base
        record, settings, intent = self.record, base.settings, b""
        if record is None:
            rules = node.parts.intake.line.rules.canonical()
            self._write(node, Record(base.digest, rules=rules))
            record = Record(base.digest)
            if base.tree is not None:
                node.begin(now)
                node.parts.intake.line.declare(now, node.draft)
        elif record.digest == base.digest and record.intent:
            try:
                settings, intent = laid_over(base, record.intent), record.intent
                _built(node, settings)
            except ConfigurationError as error:
                settings, intent = base.settings, b""
                self._tell(record.version, "refused", str(error))
                node.alarm("intent_refused", f"version {record.version}, in force before: {error}")
        if record.version:
            if self.told is None:
                self._tell(record.version, *_standing(intent))
            if node.parts.north.uplink is not None:
                node.parts.north.uplink.applied(KIND, record.version)
        if settings != node.settings or settings.line.version != node.parts.intake.line.rules.version:
            put_in_force(node, settings, now)
        if record.digest != base.digest or record.intent != intent:
            self._write(node, Record(base.digest, record.version, intent))

    # ── the file ───────────────────────────────────────────────────────────────────────────────────
    def file_changed(self, node: Node, event: ev.Reconfigure, now: Instant) -> None:
        """The file was read again and is right as far as it alone can be."""
        base = event.base
        record = self.record or Record("")
        stays = record.intent if record.digest == base.digest else b""
        try:
            put_in_force(node, laid_over(base, stays) if stays else base.settings, now)
        except ConfigurationError as error:
            self.file_refused(node, str(error))
            return
        self.base, self.restart, self.refused = base, event.restart, ""
        if record.digest != base.digest:
            self._write(node, Record(base.digest, record.version, stays))
            if record.intent and not stays:
                self._report(node, record.version, "superseded", SUPERSEDED)
        node.say(
            "info",
            "reload",
            state="applied",
            live=", ".join(event.live),
            restart=", ".join(event.restart),
            rules=node.parts.intake.line.rules.version,
        )

    def file_refused(self, node: Node, why: str) -> None:
        """The file is wrong: what was in force stays so."""
        if why == self.refused:
            return
        self.refused = why
        node.say("error", "reload", state="refused", detail=why)

    # ── intents ────────────────────────────────────────────────────────────────────────────────────
    def intent(self, node: Node, intent: Intent, now: Instant) -> None:
        """Apply an intent of the parent, or refuse it with its path and hint."""
        record = self.record or Record("")
        if record.version >= intent.version:
            stands = record.intent if record.version == intent.version else b""
            self._report(node, intent.version, *_standing(stands))
            return
        try:
            if self.base is None:
                raise ConfigurationError("this node has no file to lay an intent over")
            put_in_force(node, laid_over(self.base, intent.body), now)
        except ConfigurationError as error:
            self._tell(intent.version, "refused", str(error))
            node.say("error", "intent", version=intent.version, state="refused", detail=str(error))
            if self.told is not None:
                node.parts.north.report(node, self.told, now)
            return
        self._write(node, Record(record.digest, intent.version, intent.body or b"\n"))
        node.say("info", "intent", version=intent.version, state="applied")
        self._report(node, intent.version, "applied", f"rules {node.parts.intake.line.rules.version}")

    def connected(self, node: Node, now: Instant) -> None:
        """A parent has welcomed us: it is told what stands."""
        if self.told is not None and self._told_n <= node.commits.durable_n:
            node.parts.north.report(node, self.told, now)

    def status(self, node: Node) -> ConfigStatus:
        """For the status."""
        told = self.told
        return ConfigStatus(
            digest=self.base.digest if self.base is not None else "",
            rules_version=node.parts.intake.line.rules.version,
            intent_version=self.record.version if self.record is not None else 0,
            intent=told.state if told is not None else "none",
            intent_detail=told.detail if told is not None else "",
            restart=self.restart,
            refused=self.refused,
        )

    def _write(self, node: Node, record: Record) -> None:
        node.draft.state(OWNER, msgspec.msgpack.encode(record))
        self.record = msgspec.structs.replace(record, rules=b"")

    def _tell(self, version: int, state: str, detail: str) -> None:
        self.told = IntentStatus(KIND, version, state, detail)

    def _report(self, node: Node, version: int, state: str, detail: str) -> None:
        """Tell the parent when the open commit is durable."""
        self._tell(version, state, detail)
        assert self.told is not None
        self._told_n = node.draft.n if not node.draft.empty else 0
        node.after(self._told_n, ev.Ordered(status=self.told))


def _standing(intent: bytes) -> tuple[str, str]:
    return ("applied", "") if intent else ("superseded", SUPERSEDED)


def put_in_force(node: Node, settings: NodeSettings, now: Instant) -> None:
    """Let a running node go by other settings, as far as they are live, in the open commit.

    Raises:
        ConfigurationError: Something in them cannot be built; then nothing has changed.
    """
    parts, before, limits = node.parts, node.settings, settings.limits
    ready, mapping, sizes = _built(node, settings)
    if ready is not None:
        node.begin(now)
        parts.intake.line.change(ready, now, node.draft)
    if mapping is not None:
        parts.intake.mapping = mapping
        parts.pushing.handler.remap(mapping, limits)
    if settings.outbox != before.outbox:
        parts.sealing.reconfigure(settings.outbox)
        if parts.north.outbox is not None:
            parts.north.outbox.reconfigure(settings.outbox)
        parts.north.stir()
    if node.stages is not None:
        node.stages.aim(budgets_ms(settings))
    parts.journal.resize(sizes.journal)
    parts.south.children.share_credit(sizes.credit_bytes)
    if sizes.file_bytes != before.file_bytes:
        parts.shelving.files.resize(sizes.file_bytes)
    node.settings = msgspec.structs.replace(
        before,
        line=settings.line,
        mappings=settings.mappings,
        limits=limits,
        outbox=settings.outbox,
        decide_budget_ms=settings.decide_budget_ms,
        journal=sizes.journal,
        journal_bytes=sizes.journal_bytes,
        file_bytes=sizes.file_bytes,
        credit_bytes=sizes.credit_bytes,
        budget_bytes=sizes.budget_bytes,
        reserve_bytes=sizes.reserve_bytes,
        unstored_bytes_max=sizes.unstored_bytes_max,
        price_per_gb=settings.price_per_gb,
        currency=settings.currency,
    )


def _sizes(settings: NodeSettings, before: NodeSettings) -> NodeSettings:
    """Whose sizes count: without a budget in the file, those that fit what the start has found."""
    if settings.budget_bytes:
        return settings
    return apportioned(settings, before.budget_bytes) if before.budget_bytes else before


def _built(node: Node, settings: NodeSettings) -> tuple[Ready | None, Mapping | None, NodeSettings]:
    """What has to be built anew for other settings, and the sizes that count; so far nothing has changed.

    Raises:
        ConfigurationError: It cannot be built.
    """
    parts, before = node.parts, node.settings
    try:
        sizes = _sizes(settings, before)
        for budget_ms in budgets_ms(settings).values():
            int(budget_ms * MS)
        mapping = None
        if (settings.mappings, settings.limits) != (before.mappings, before.limits):
            mapping = Mapping(settings.mappings, parts.names.table, settings.limits)
        return parts.intake.line.prepare(settings.line), mapping, sizes
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 - refused and said: an intent must not be able to end the node
        raise ConfigurationError(f"it cannot be built: {type(error).__name__}: {error}") from None


def laid_over(base: Base, body: bytes) -> NodeSettings:
    """The settings that a file and an intent make together.

    Raises:
        ConfigurationError: The intent is not TOML, sets what it may not, or does not fit.
    """
    if base.tree is None:
        raise ConfigurationError("this node has no file to lay an intent over")
    if len(body) > BODY_MAX:
        raise ConfigurationError(f"{len(body)} bytes; at most {BODY_MAX}", file="intent")
    try:
        tree = read_toml(body, "")
        _permitted(tree, "")
        config = build(_merged(base.tree, tree))
        _without_commands(tree, config)
        return settings_of(config)
    except ConfigurationError as error:
        raise ConfigurationError(error.args[0], file="intent", path=error.path, hint=error.hint) from None
    except RecursionError:
        raise ConfigurationError("nested too deeply", file="intent") from None
    except Exception as error:  # noqa: BLE001 - as above
        raise ConfigurationError(f"{type(error).__name__}: {error}", file="intent") from None


def _permitted(tree: dict[str, Any], outer: str) -> None:
    for name, value in tree.items():
        path = f"{outer}.{name}" if outer else name
        if path in FROM_ABOVE or (not outer and name not in NodeConfig.__struct_fields__):
            continue
        if isinstance(value, dict) and any(key.startswith(f"{path}.") for key in FROM_ABOVE):
            _permitted(value, path)
            continue
        raise ConfigurationError(
            "not by an intent",
            path=path,
            hint=f"the node's own file says it; an intent may set {_sections()}",
        )


def _sections() -> str:
    return ", ".join(sorted(FROM_ABOVE))


def _without_commands(tree: dict[str, Any], config: NodeConfig) -> None:
    if "rule" not in tree:
        return
    for i, rule in enumerate(config.rule):
        for j, act in enumerate(rule.act):
            if act.authorization is not None:
                raise ConfigurationError(
                    "a secret of this node is not sent anywhere by an intent",
                    path=f"rule[{i}].act[{j}].authorization",
                    hint="write the rule in the node's own file",
                )
            if act.kind == "command":
                raise ConfigurationError(
                    "a program is not run by an intent",
                    path=f"rule[{i}].act[{j}].kind",
                    hint="write the rule in the node's own file, or let it publish or post",
                )


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    out = dict(below)
    for name, value in above.items():
        under = out.get(name)
        out[name] = _merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return out


def settings_of(config: NodeConfig) -> NodeSettings:
    """The configuration as the core takes it; sizes as configured where the file gives no budget.

    Raises:
        ConfigurationError: Two rules have one name, or the budget is too small.
    """
    settings = NodeSettings(
        name=str(config.identity),
        tier=config.node.tier,
        has_parent=config.link.parent is not None,
        mqtt=config.mqtt,
        mappings=config.mapping,
        limits=config.formats,
        line=config.rules,
        outbox=config.outbox,
        journal=config.journal_sizes,
        labels=config.node.series_labels,
        journal_bytes=config.journal.segment_bytes * JOURNAL_SEGMENTS,
        commit_gap_ms=config.journal.commit_gap_ms,
        reserve_bytes=config.disk.reserve_bytes,
        unstored_bytes_max=config.journal.unstored_bytes_max,
        waiting_bytes_max=config.decide.waiting_bytes_max,
        decide_budget_ms=config.decide.budget_ms,
        price_per_gb=config.ledger.price_per_gb,
        currency=config.ledger.currency,
        metered=config.link.parent is not None and config.link.parent.profile == "metered",
    )
    budget_bytes = config.disk.budget_bytes
    return apportioned(settings, budget_bytes) if budget_bytes else settings
