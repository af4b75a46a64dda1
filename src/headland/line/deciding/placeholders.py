"""Words in braces that an act's target, payload and arguments may use, and what may be put in their places.

What is put in comes from devices: names, labels and values are theirs to choose. So each place takes only
what cannot change whom an actuation is for:

=========  ===================================================================================================
place      rule
=========  ===================================================================================================
topic      a level takes no ``/ + # NUL`` and nothing empty; ``{name}``, ``{series}`` and ``{key}`` may bring
           levels; a topic does not become one that begins with ``$``
URL        every word is percent-encoded, and is neither ``.`` nor ``..``; scheme and host take no words
program    takes no words
argument   no NUL; no word makes it begin with ``-``, but for a number below zero
payload    anything; a label that the series has not is empty
=========  ===================================================================================================

A word of a target or an argument that cannot be put in makes the actuation unfit: it is not done, and never
done at another address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote

import msgspec

WORDS = ("value", "name", "series", "rule", "key")
"""Besides `label.x` and the captures of the rule's patterns."""
_PATHS = frozenset(("name", "series", "key"))
"""Words that may bring levels of a topic."""
_FIELD = re.compile(r"\{(label\.[^{}\s]+|[A-Za-z_][A-Za-z0-9_.]*)\}")
_CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")

Fit = Callable[[str, str], str]
"""A word and its text to why the text may not stand there, or ""."""


class Filled(msgspec.Struct, frozen=True):
    """A template with its words put in.

    Attributes:
        text: The text.
        unfit: Why it must not be used, or "".
    """

    text: str
    unfit: str = ""


def captures_of(patterns: Iterable[str]) -> list[str]:
    """Captures that patterns on names and labels make."""
    return [word for pattern in patterns for word in _CAPTURE.findall(pattern)]


def unknown(template: str, words: Iterable[str]) -> str:
    """The first word in braces that is neither one of `words` nor a label, or ""."""
    known = set(words)
    return next(
        (one for one in _FIELD.findall(template) if one not in known and not one.startswith("label.")), ""
    )


def has_words(text: str) -> bool:
    """Whether any word in braces stands in a text."""
    return _FIELD.search(text) is not None


def payload(template: str, words: Mapping[str, str]) -> str:
    """A payload; what the series has not is empty."""
    return _FIELD.sub(lambda field: words.get(field.group(1), ""), template)


def topic(template: str, words: Mapping[str, str]) -> Filled:
    """A topic to publish to."""
    filled = _filled(template, words, _level)
    if filled.text.startswith("$") and not template.startswith("$"):
        return Filled(filled.text, "a topic that begins with $")
    return filled


def url(template: str, words: Mapping[str, str]) -> Filled:
    """An address to post to."""
    return _filled(template, words, _segment, lambda text: quote(text, safe=""))


def argument(template: str, words: Mapping[str, str]) -> Filled:
    """One argument of a program."""
    filled = _filled(template, words, _no_nul)
    if filled.text.startswith("-") and not template.startswith("-") and not _is_number(filled.text):
        return Filled(filled.text, f"an argument that begins with -: {filled.text!r}")
    return filled


def _filled(
    template: str, words: Mapping[str, str], fit: Fit, written: Callable[[str], str] = lambda text: text
) -> Filled:
    wrong: list[str] = []

    def put(field: re.Match[str]) -> str:
        word = field.group(1)
        text = words.get(word)
        why = f"the series has no {word}" if text is None else fit(word, text)
        if why:
            wrong.append(why)
        return written(text or "")

    text = _FIELD.sub(put, template)
    return Filled(text, wrong[0] if wrong else "")


def _level(word: str, text: str) -> str:
    if not text:
        return f"{word} is empty"
    if not set(text).isdisjoint("+#\0") or ("/" in text and word not in _PATHS):
        return f"{word} is no level of a topic: {text[:60]!r}"
    return ""


def _segment(word: str, text: str) -> str:
    return f"{word} is {text!r}, a step to another path" if text in (".", "..") else ""


def _no_nul(word: str, text: str) -> str:
    return f"{word} contains NUL" if "\0" in text else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
