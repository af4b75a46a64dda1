"""Rules of a node's file as the outside checker understands them.

Read from the TOML itself, not from our structs. Only what the checker can judge is understood; anything
else raises, so that a demo whose rules it cannot check says so instead of passing.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from headland.demo.evidence import DeadBand, DropWhen, SeriesRules, Summary
from headland.vocabulary import ConfigurationError

PUBLISHED_RATIO = 0.05
"""The dead band of a series that no rule names (published table: only changes of more than 5 %)."""
WARNING = 4
"""RFC 5424: what is less severe than a warning has a larger number."""
SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")


def rules_of(file: Path, origin: str) -> list[SeriesRules]:
    """Rules of the node `origin`, in the order in which they are tried; the default comes last.

    Raises:
        ConfigurationError: A rule is of a kind that the checker does not judge.
    """
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    rules = [_rule(table, origin, str(file)) for table in document.get("series", [])]
    rules.append(_rule({"name": "default", "match": "**", **document.get("default", {})}, origin, str(file)))
    return rules


def _rule(table: dict[str, Any], origin: str, file: str) -> SeriesRules:
    name = str(table.get("name", ""))
    if table.get("labels"):
        raise ConfigurationError(
            "the checker does not judge label patterns", file=file, path=f"series.{name}"
        )
    made = _filter(dict(table.get("filter", {})), name, file)
    return SeriesRules(
        str(table.get("match", "**")),
        origin,
        volatile=table.get("durability") == "volatile",
        final=bool(table.get("final", True)),
        **made,
    )


def _filter(options: dict[str, Any], name: str, file: str) -> dict[str, Any]:
    """Fields of `SeriesRules` that say what this filter may leave out."""
    match options.pop("kind", "deadband"):
        case "keep":
            return {}
        case "drop":
            return {"drops": _drops(options)}
        case "deadband":
            absolute = options.get("absolute")
            ratio = options.get("ratio", PUBLISHED_RATIO) if absolute is None else 0.0
            floor = options.get("floor", 0.0) if absolute is None else absolute
            return {"dead_band": DeadBand(ratio, floor, options.get("heartbeat_s", 0.0))}
        case "summary":
            return {"summary": Summary(name)}
        case "severity":
            level = str(options.get("at_least", SEVERITIES[WARNING]))
            if level not in SEVERITIES:
                raise ConfigurationError(
                    f"no severity {level!r}", file=file, path=f"series.{name}.filter.at_least"
                )
            return {"drops": [DropWhen("severity", ">", SEVERITIES.index(level))]}
        case "boost":
            # What no trigger releases goes the inner filter's way, later than it was acknowledged.
            return {**_filter(dict(options.get("inner", {})), name, file), "deferred": True}
        case kind:
            raise ConfigurationError(
                f"the checker does not judge filters of kind {kind!r}",
                file=file,
                path=f"series.{name}.filter",
            )


def _drops(options: dict[str, Any]) -> list[DropWhen]:
    drops = [DropWhen("value", "==", one) for one in options.get("equal", [])]
    if options.get("below") is not None:
        drops.append(DropWhen("value", "<", options["below"]))
    if options.get("above") is not None:
        drops.append(DropWhen("value", ">", options["above"]))
    return drops or [DropWhen("any")]
