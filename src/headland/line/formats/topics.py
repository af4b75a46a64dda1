"""Topic templates: MQTT filters whose levels may have names.

``plant/{site}/+/dev-{id}/#`` matches like the filter ``plant/+/+/+/#`` and gives `site` and `id`. A ``#``
also matches its parent level (MQTT 5, 4.7.1.2). A placeholder never matches an empty text or a ``/``.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from headland.vocabulary import ConfigurationError

_NAME: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class TopicTemplate(msgspec.Struct, frozen=True):
    """A compiled topic template.

    Attributes:
        text: As written.
        names: Placeholders in order.
        pattern: Matches a whole topic; one named group per placeholder.
    """

    text: str
    names: tuple[str, ...]
    pattern: re.Pattern[str]

    def match(self, topic: str) -> dict[str, str] | None:
        """The placeholders' texts if the topic matches (a `$`-topic only matches a literal first level)."""
        found = self.pattern.fullmatch(topic)
        return None if found is None else found.groupdict()


def compile_topic(text: str, *, where: str) -> TopicTemplate:
    """Compile a topic template.

    Raises:
        ConfigurationError: A wildcard does not stand alone in its level, `#` is not last, a name comes twice.
    """
    names: list[str] = []
    levels = text.split("/")
    out: list[str] = []
    for position, level in enumerate(levels):
        if level == "#":
            if position != len(levels) - 1:
                raise ConfigurationError(f"`#` must be the last level of {text!r}", path=where)
            break
        out.append(r"[^/]*" if level == "+" else _level(level, names, text, where))
    body = "/".join(out)
    if levels[-1] == "#":
        body = f"{body}(?:/.*)?" if out else ".*"
    guard = r"(?!\$)" if levels[0] in ("+", "#") or levels[0].startswith("{") else ""
    return TopicTemplate(text, tuple(names), re.compile(guard + body, re.DOTALL))


def _level(level: str, names: list[str], text: str, where: str) -> str:
    parts: list[str] = []
    at = 0
    for match in _NAME.finditer(level):
        name = match.group(1)
        if name in names or name == "topic":
            raise ConfigurationError(f"placeholder {{{name}}} may not be used here in {text!r}", path=where)
        names.append(name)
        parts += [_literal(level[at : match.start()], text, where), f"(?P<{name}>[^/]+?)"]
        at = match.end()
    parts.append(_literal(level[at:], text, where))
    return "".join(parts)


def _literal(piece: str, text: str, where: str) -> str:
    if any(character in piece for character in "+#{}"):
        raise ConfigurationError(
            f"{piece!r} is not a level of a topic template in {text!r}",
            path=where,
            hint="`+` and `#` stand alone in a level; a placeholder is {name}",
        )
    return re.escape(piece)
