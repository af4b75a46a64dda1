"""What differs between two configurations, and what of it can be applied while the node runs.

`LIVE` is the whole list: a key is applied live if it, or a section around it, stands there. Everything else
needs a restart. The canonical rules are what a commit stores and sends north when they change (their
version is their digest), so that a reading can always be read with the rules that judged it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from headland.config.node import NodeConfig

LIVE = frozenset(
    {
        "user",
        "http.token",
        "mapping",
        "formats",
        "series",
        "default",
        "rule",
        "decide.budget_ms",
        "classes",
        "disk",
        "ledger",
        "log",
    }
)
RULES = ("mapping", "series", "default", "rule")
"""Sections that say what happens to readings."""


class Reload(msgspec.Struct, frozen=True):
    """A change of configuration.

    Attributes:
        live: Keys that are applied while the node runs, sorted.
        restart: Keys that count from the next start, sorted.
        rules: Whether what happens to readings changes.
    """

    live: tuple[str, ...]
    restart: tuple[str, ...]
    rules: bool

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not self.live and not self.restart


def diff(old: NodeConfig, new: NodeConfig) -> Reload:
    """The keys in which two configurations differ."""
    changed = sorted(_changed(old, new, ""))
    live = tuple(path for path in changed if _is_live(path))
    return Reload(
        live,
        tuple(path for path in changed if path not in live),
        canonical_rules(old) != canonical_rules(new),
    )


def applied(old: NodeConfig, new: NodeConfig) -> NodeConfig:
    """What a running node goes by after a reload: `new` where that is live, `old` elsewhere."""
    result: NodeConfig = _merged(old, new, "")
    return result


def canonical_rules(config: NodeConfig) -> bytes:
    """The rules as JSON in which equal rules are equal bytes, every default written out."""
    rules = {name: getattr(config, name) for name in RULES if name in config.__struct_fields__}
    return msgspec.json.encode(rules, order="deterministic")


def rules_version(config: NodeConfig) -> str:
    """Digest of the canonical rules, BLAKE2b-64, hex."""
    return blake2b(canonical_rules(config), digest_size=8).hexdigest()


def _changed(old: Any, new: Any, path: str) -> list[str]:
    if old == new:
        return []
    if isinstance(old, msgspec.Struct) and type(old) is type(new) and (not path or not _is_live(path)):
        found = []
        for name in old.__struct_fields__:
            inner = f"{path}.{name}" if path else name
            found += _changed(getattr(old, name), getattr(new, name), inner)
        return found
    return [path]


def _merged(old: Any, new: Any, path: str) -> Any:
    if old == new or _is_live(path):
        return new
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        fields = {
            name: _merged(getattr(old, name), getattr(new, name), f"{path}.{name}" if path else name)
            for name in old.__struct_fields__
        }
        return msgspec.structs.replace(old, **fields)
    return old


def _is_live(path: str) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:i]) in LIVE for i in range(1, len(parts) + 1))
