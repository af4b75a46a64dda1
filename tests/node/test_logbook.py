"""Laws of the log: it never raises, and tells what it lost."""

from __future__ import annotations

import io
import json

from headland.node.logbook import LogBook


class Pipe(io.StringIO):
    """A log whose reader may be gone."""

    gone = False

    def write(self, text: str) -> int:
        if self.gone:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


def test_a_log_that_nobody_reads_stops_nothing_and_tells_later_how_many_lines_were_lost() -> None:
    """Kills: an exception out of a log line, which drops every action behind it in the same event."""
    pipe = Pipe()
    log = LogBook("info", pipe)
    pipe.gone = True
    log("alarm", "clone", {"detail": "d"})
    log("info", "started", {})
    pipe.gone = False
    log("info", "up", {})
    log("info", "down", {})
    up, down = map(json.loads, pipe.getvalue().splitlines())
    assert (up["event"], up["lines_lost"]) == ("up", 2)
    assert "lines_lost" not in down


def test_lines_below_the_level_are_not_written_and_the_level_may_change() -> None:
    pipe = Pipe()
    log = LogBook("warning", pipe)
    log("info", "quiet", {})
    log("alarm", "loud", {})
    log.level = "debug"
    log("debug", "now", {})
    assert [json.loads(line)["event"] for line in pipe.getvalue().splitlines()] == ["loud", "now"]
