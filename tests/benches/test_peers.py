"""The comparison's own arithmetic; the servers themselves run in `./dev bench peers` only."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest
from benches.peers import comparing, devices, page, trials, turn
from benches.peers.bars import rows_of
from benches.peers.draining import live_ages, percentile
from benches.peers.pictures import Bar, bars
from benches.peers.results import Report, Result
from benches.peers.system import Arrival, System, numbers
from benches.servers import Unavailable, headland


def test_what_comes_behind_a_later_reading_of_its_topic_is_disordered_once() -> None:
    assert trials.disordered([("a", 1), ("b", 1), ("a", 2), ("b", 2)]) == 0
    assert trials.disordered([("a", 1), ("a", 3), ("a", 2), ("a", 2), ("b", 1)]) == 1
    assert trials.disordered([("a", 3), ("a", 1), ("a", 2)]) == 2


def test_what_comes_twice_is_not_disordered_by_that() -> None:
    assert trials.disordered([("a", 1), ("a", 2), ("a", 1), ("a", 3)]) == 0


def test_lost_is_acknowledged_and_not_north_and_doubled_is_north_twice() -> None:
    acked = {("a", 1), ("a", 2), ("b", 1)}
    arrivals = [Arrival("a", 1), Arrival("a", 1), Arrival("a", 3)]
    found = trials.counted(acked, arrivals, 0.5, 1.0, 300)
    assert (found.acked, found.lost, found.doubled) == (3, 2, 1)
    assert found.paced_written_bytes_per_reading == 100


def test_a_later_lane_overtakes_without_disorder() -> None:
    arrivals = [Arrival("a", 2, "1"), Arrival("a", 1, "0")]
    found = trials.counted(set(), arrivals, None, 0.0, 0)
    assert (found.disordered, found.overtaken) == (0, 1)


def test_only_payloads_of_our_clients_have_a_number_and_their_time_is_in_milliseconds() -> None:
    assert numbers(b'{"t":1700000000000,"v":17}') == (17, 1_700_000_000_000)
    assert numbers(b'{"ts":1700000000000000000,"s":3,"v":20.21}') == (3, 1_700_000_000_000)
    assert numbers(b"") is None
    assert numbers(b'{"v":1}') is None
    assert numbers(b"[1]") is None


def test_a_live_reading_that_has_not_arrived_counts_with_the_age_it_has() -> None:
    arrived = [Arrival("a", n, "", n * 10.0, n * 10.0 + 5) for n in range(50)]
    ages, missing = live_ages(arrived, 100.0, 0.0, 1000.0)
    assert missing == 45
    assert len(ages) == 95
    assert percentile(ages) > 1500


def test_ages_are_of_readings_made_in_the_span_only() -> None:
    arrived = [Arrival("a", n, "", n * 10.0, n * 10.0 + n) for n in range(200)]
    ages, missing = live_ages(arrived, 100.0, 0.0, 1000.0)
    assert (missing, max(ages)) == (0, 99)


def test_a_p99_of_a_few_readings_is_refused() -> None:
    with pytest.raises(RuntimeError, match="only 3 live readings"):
        percentile([1.0, 2.0, 3.0])


def _system(key: str, **figures: float | None) -> Result:
    return Result(
        key, f"system {key}", "as it comes", False, {k.replace("__", "."): v for k, v in figures.items()}
    )


def test_a_ratio_is_taken_against_the_peer_that_is_hardest_to_beat() -> None:
    systems = [
        _system("headland", taking__acks_per_s_best=90.0, carrying__cpu_s_per_1000=2.0),
        _system("mosquitto-1s", taking__acks_per_s_best=100.0, carrying__cpu_s_per_1000=4.0),
        _system("mosquitto-each", taking__acks_per_s_best=500.0, carrying__cpu_s_per_1000=1.0),
        _system("nats-always", taking__acks_per_s_best=5.0),
    ]
    rows = {row.name: row for row in rows_of(systems)}
    assert rows["acks_vs_nats_always"].value == 18
    assert rows["acks_vs_nats_always"].holds
    assert rows["acks_vs_fastest_not_syncing"].value == 0.9
    assert not rows["acks_vs_fastest_not_syncing"].holds
    assert rows["cpu_vs_mosquitto_bridge"].value == 2
    assert not rows["cpu_vs_mosquitto_bridge"].holds


def test_a_row_of_which_one_side_was_not_measured_has_no_value_and_does_not_hold() -> None:
    rows = {row.name: row for row in rows_of([_system("headland", losing__lost=0.0, losing__acked=10.0)])}
    assert rows["peers_lost"].holds
    assert rows["cpu_vs_thingsboard"].value is None
    assert not rows["cpu_vs_thingsboard"].holds


def test_what_must_never_happen_is_summed_and_a_figure_missing_once_has_no_median() -> None:
    result = Result("x", "x", "", False)
    result.repeats = {
        "losing.lost": [0, 2, 0],
        "draining.drained_s": [3.0, None, 4.0],
        "draining.per_s": [1, 3, 2],
    }
    figures = comparing.summed_up(result).figures
    assert figures == {"losing.lost": 2, "draining.drained_s": None, "draining.per_s": 2}


def _report(systems: list[Result]) -> Report:
    return Report(rows_of(systems), systems, {"cores": 2}, 1, False, 60)


def test_what_was_not_measured_is_a_dash_and_said_never_a_nought() -> None:
    system = _system("x", losing__acked=10.0, losing__lost=0.0)
    system.trouble = ["carrying: not installed"]
    text = page.written(_report([system]), "benchmarks")
    assert "| system x | no | 10 | 0 | - |" in text
    assert "- system x, carrying: not installed" in text
    assert "| system x | no | - | - | - | - | - |" in text
    assert "**not measured**" in text


def test_a_page_made_again_from_the_json_is_the_same(tmp_path: Path) -> None:
    report = _report([_system("headland", losing__lost=0.0, losing__first_arrival_s=1.0)])
    page.write(report, tmp_path / "first.md")
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(report))
    arguments = ["--read", str(tmp_path / "run.json"), "--page", str(tmp_path / "second.md"), "--json"]
    assert comparing.main(arguments) == 0
    first, second = ((tmp_path / f"{name}.md").read_text() for name in ("first", "second"))
    assert first.replace("(first/", "(second/") == second


def test_a_lost_reading_of_ours_is_a_failure(tmp_path: Path) -> None:
    report = _report([_system("headland", losing__lost=1.0)])
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(report))
    assert comparing.main(["--read", str(tmp_path / "run.json"), "--json"]) == 1


def test_a_bar_that_is_not_reached_is_said_beside_its_figure() -> None:
    ours = _system("headland", losing__first_arrival_s=2.5)
    text = page.written(_report([ours]), "benchmarks")
    assert "- `first_arrival_s`: 2.5, bar < 2. The child redials" in text


def test_every_column_in_which_a_peer_does_better_is_said_with_or_without_a_bar() -> None:
    ours = _system("headland", taking__acks_per_s_alone=600.0, carrying__pss_peak_mb=40.0)
    peer = _system("x", taking__acks_per_s_alone=900.0, carrying__pss_peak_mb=41.0)
    text = page.written(_report([ours, peer]), "benchmarks")
    assert "- Acknowledgements, *acks/s, 1 x 1*: 600 against 900 of system x" in text
    assert "*PSS peak, MB*: 40" not in text


def test_the_pictures_are_well_formed_and_say_what_was_not_measured(tmp_path: Path) -> None:
    page.write(_report([_system("headland", losing__lost=0.0), _system("x & y")]), tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    for trial, figure, *_ in page.PICTURES:
        name = f"page/{trial}-{figure.replace('_', '-')}.svg"
        assert name in text
        assert "not measured" in (tmp_path / name).read_text()
        ET.parse(tmp_path / name)


def test_a_logarithmic_bar_of_the_least_is_a_decade_long_at_least() -> None:
    drawn = bars("t", {"a": Bar(1.0, True, True), "b": Bar(1000.0, False, False)}, logarithmic=True)
    widths = [float(one.get("width", "")) for one in ET.fromstring(drawn).iter() if one.get("x") == "230"]
    assert next(width for width in widths if width) == pytest.approx(105)


def test_clients_publish_all_they_have_though_the_edge_answers_only_after_the_planned_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = {"clients": 2, "rate": 20.0, "window": 2, "seconds": 0.5, "stamp": "t"}
    with headland(tmp_path) as node:
        node.process.send_signal(signal.SIGSTOP)
        again = threading.Timer(1.5, node.process.send_signal, (signal.SIGCONT,))
        again.start()
        devices.main(node.port, plan)
        again.join()
    acked = json.loads(capsys.readouterr().out)
    assert sorted(acked) == [[f"bench/{client}", number] for client in range(2) for number in range(1, 11)]


class Broken(System):
    """A peer that is not on this machine."""

    name, how, durable = "broken", "it does not start", False

    def start(self) -> None:
        raise Unavailable("it is not installed")

    def run_edge(self) -> None: ...

    def watch(self, prefix: str) -> None: ...

    def arrived(self) -> list[Arrival]:
        return []

    def kept(self) -> int:
        return 0


def test_a_peer_that_does_not_start_is_a_turn_without_figures() -> None:
    found = turn.here(Broken, "losing", 0, trials.QUICK)
    assert (found.name, found.figures, found.trouble) == ("broken", {}, "it is not installed")


STARTS_ANOTHER = """
import subprocess, sys, time
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(other.pid, file=open(sys.argv[1], "w"))
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize(("sleep_s", "limit_s"), [(600, 1.5), (0, 60)], ids=["hangs", "ends"])
def test_nothing_that_a_trial_has_started_outlives_it(tmp_path: Path, sleep_s: float, limit_s: float) -> None:
    told = tmp_path / "pid"
    with contextlib.suppress(subprocess.TimeoutExpired):
        turn.output([sys.executable, "-c", STARTS_ANOTHER, str(told), str(sleep_s)], limit_s)
    pid = int(told.read_text())
    until = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    """Whether it is there and no zombie that its new parent has not asked after."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
