"""What a rule may do: words in braces that stand for something, and addresses that no device can change."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import assert_never
from urllib.parse import urlsplit

from headland.line.deciding.placeholders import WORDS, captures_of, has_words, unknown
from headland.line.deciding.rules import Act, EventRule
from headland.vocabulary import ConfigurationError


def check_acts(place: str, rule: EventRule) -> None:
    """Raise ConfigurationError for the first act of a rule that cannot be meant.

    Args:
        place: Path of the rule.
        rule: The rule.
    """
    patterns = (rule.match, *rule.labels.values())
    taken = next((one for one in captures_of(patterns) if one in WORDS), "")
    if taken:
        raise ConfigurationError(
            f"{{{taken}}} is a word of acts", path=f"{place}.match", hint="capture it by another name"
        )
    for i, act in enumerate(rule.act):
        _check_act(f"{place}.act[{i}]", act, patterns)


def check_words(path: str, template: str, patterns: Sequence[str], words: Sequence[str] = WORDS) -> None:
    """Raise ConfigurationError for a word in braces that stands for nothing.

    Args:
        path: Path of the template.
        template: The text with words in braces.
        patterns: What captures words.
        words: Those that are always there.
    """
    known = [*words, *captures_of(patterns)]
    word = unknown(template, known)
    if word:
        near = difflib.get_close_matches(word, known, 1)
        listed = ", ".join(f"{{{one}}}" for one in [*known, "label.NAME"])
        raise ConfigurationError(
            f"{{{word}}} stands for nothing",
            path=path,
            hint=(f"did you mean {{{near[0]}}}? " if near else "") + f"there are {listed}",
        )


def _check_act(place: str, act: Act, patterns: Sequence[str]) -> None:
    check_words(f"{place}.target", act.target, patterns)
    check_words(f"{place}.payload", act.payload, patterns)
    for i, argument in enumerate(act.arguments):
        check_words(f"{place}.arguments[{i}]", argument, patterns)
    if act.authorization is not None and act.kind != "http":
        raise ConfigurationError("only http is authorized so", path=f"{place}.authorization")
    match act.kind:
        case "mqtt":
            if set(act.target) & set("+#\0"):
                raise ConfigurationError(
                    f"{act.target!r} is no topic to publish to",
                    path=f"{place}.target",
                    hint="without + and #",
                )
        case "http":
            _check_url(f"{place}.target", act.target)
        case "command":
            if has_words(act.target):
                raise ConfigurationError(
                    "which program is run is not for a device to say",
                    path=f"{place}.target",
                    hint="write its path out; words may stand in arguments",
                )
        case _:
            assert_never(act.kind)


def _check_url(path: str, target: str) -> None:
    server = target.partition("://")[2].partition("/")[0].partition("?")[0]
    if has_words(server):
        raise ConfigurationError(
            "which server is called is not for a device to say", path=path, hint="write the host out"
        )
    try:
        url = urlsplit(target)
        fits = target.startswith(("http://", "https://")) and bool(url.hostname) and url.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ConfigurationError(f"{target!r} is no URL", path=path, hint="http://HOST:PORT/PATH")
    if "@" in server:
        raise ConfigurationError(
            "a user or password stands in the URL",
            path=path,
            hint='rules travel north; write authorization = { file = "..." }: a file with "Basic ..."',
        )
