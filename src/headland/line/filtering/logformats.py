"""Severity of a log line: the formats that are met in the field, recognised by their heads.

Severities are those of RFC 5424: 0 emergency, 1 alert, 2 critical, 3 error, 4 warning, 5 notice, 6
informational, 7 debug. Formats, with where the severity stands:

* RFC 5424 and RFC 3164 with a priority value: ``<34>Oct 11 ...``, the value modulo 8.
* Web access (common and combined): the status, 5xx error, 4xx warning.
* Apache and nginx errors: ``[Sun Dec 04 04:47:44 2005] [error] ...``, ``2024/01/01 12:00:00 [warn] ...``.
* log4j, Hadoop, Spark, HDFS, Kafka, logback, Python: a date or time first, a level word among the next four
  words.
* Blue Gene/L RAS: ``- 1117838570 2005.06.03 R02 2005-06-03-15.42.50.675872 R02 RAS KERNEL INFO ...``.
* Windows CBS: ``2016-09-28 04:30:30, Info   CBS ...``; its own ``Warning:`` and ``Error:`` in the text count.
* RFC 3164 as files hold it (no priority), with OpenSSH, PAM, sudo and kernel messages: by known phrases.

A line that begins a record in none of these ways continues the record before it.
"""

from __future__ import annotations

import re

ERROR, WARNING, NOTICE, INFO, DEBUG = 3, 4, 5, 6, 7

LEVELS = {
    "EMERG": 0,
    "EMERGENCY": 0,
    "PANIC": 0,
    "ALERT": 1,
    "CRIT": 2,
    "CRITICAL": 2,
    "FATAL": 2,
    "FAILURE": 2,
    "ERROR": 3,
    "ERR": 3,
    "SEVERE": 3,
    "WARN": 4,
    "WARNING": 4,
    "NOTICE": 5,
    "INFO": 6,
    "INFORMATION": 6,
    "CONFIG": 6,
    "DEBUG": 7,
    "TRACE": 7,
    "FINE": 7,
    "FINER": 7,
    "FINEST": 7,
    "VERBOSE": 7,
}
NAMES = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")

_WORDS = "|".join(sorted(LEVELS, key=len, reverse=True))
_PRIORITY = re.compile(r"<(\d{1,3})>")
_ACCESS = re.compile(r'\S+ \S+ .{1,120}?\[[^\]]{10,40}\] "(?:[^"\\]|\\.)*" (\d{3}) ')
_BRACKETED = re.compile(rf"\[[^\]]{{6,40}}\] \[(?:[a-z0-9_]+:)?({_WORDS})\]", re.IGNORECASE)
_TIMED = re.compile(
    r"\[?(?:\d{4}[-/.]\d\d[-/.]\d\d|\d\d[-/.]\d\d[-/.]\d{2,4}|\d{6})?[T ,]?(?:\d\d:\d\d:\d\d|\d{6} )"
    rf"[\d.,]*(?:Z|[+-]\d\d:?\d\d)?[\],]?(?:\s+\S+){{0,3}}?\s+[\[(<]?({_WORDS})\b",
)
_BLUE_GENE = re.compile(rf"\S+ \d{{9,11}} \d{{4}}\.\d\d\.\d\d \S+ \S+ \S+ \S+ \S+ ({_WORDS})\b")
_WINDOWS = re.compile(
    rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d, ({_WORDS})\s+\S*\s+(?:(Warning|Error):)?", re.IGNORECASE
)
_SYSLOG = re.compile(
    r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-][\d:]+)) \S+ ([^\s:\[]+)"
)
_HEAD = re.compile(r"[\[<(]?\d{2,4}[-/:.]\d\d[-/:. ]|\[?[A-Z][a-z]{2} [ \d]\d |\[\d")
_PHRASES = (
    (
        ERROR,
        re.compile(r"\b(?:error|fatal|panic|segfault|out of memory|oops|critical)\b(?! 0\b)", re.IGNORECASE),
    ),
    (
        WARNING,
        re.compile(
            r"authentication fail|fail(?:ed|ure)\b|\binvalid user|break-in|illegal user|\bwarn(?:ing)?\b|"
            r"denied|refused|"
            r"not allowed|unknown|incorrect|did not receive identification|bad (?:protocol|packet)|too many|"
            r"maximum authentication|does not exist|timed? ?out|unable to|cannot|could not|couldn't|"
            r"\babnormal",
            re.IGNORECASE,
        ),
    ),
)
_TRACE = re.compile(r"(?:Traceback|Caused by:|[\w.$]*(?:Exception|Error)\b[:\s]|[\w.$]*(?:Exception|Error)$)")


def begins(line: str) -> int | None:
    """Severity of a line that begins a record; None for a line that continues one."""
    if not line or line[0] in " \t":
        return None
    first = line[0]
    if first == "<":
        found = _PRIORITY.match(line)
        if found:
            return int(found.group(1)) & 7
    if first == "[":
        found = _BRACKETED.match(line)
        if found:
            return LEVELS[found.group(1).upper()]
    found = _WINDOWS.match(line)
    if found:
        own = LEVELS[found.group(1).upper()]
        return min(own, LEVELS[found.group(2).upper()]) if found.group(2) else own
    found = _TIMED.match(line) or _BLUE_GENE.match(line)
    if found:
        return LEVELS[found.group(1).upper()]
    found = _ACCESS.match(line)
    if found:
        status = int(found.group(1))
        return ERROR if status >= 500 else WARNING if status >= 400 else INFO
    found = _SYSLOG.match(line)
    if found:
        return phrases(line[found.end() :])
    return phrases(line) if _HEAD.match(line) else None


def phrases(text: str) -> int:
    """Severity by what a message says, for formats that carry none."""
    for severity, words in _PHRASES:
        if words.search(text):
            return severity
    return INFO


def continues(line: str) -> int | None:
    """Severity that a continuing line has of its own: the head of a stack trace is an error."""
    return ERROR if _TRACE.match(line.lstrip()) else None
