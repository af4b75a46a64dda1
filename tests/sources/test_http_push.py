"""Laws of readings pushed by HTTP."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headland.line.formats import Mapping
from headland.sources.http_push import Accepted, PushConfig, PushHandler, Response, Waiting
from headland.sources.idempotency import Keys
from headland.vocabulary import NO_TIME, Instant, SeriesKey, SeriesTable, StorageDamage

NOW = Instant(10**9, 1_700_000_000 * 10**9)
ONE = b'{"series":"temp","value":21.5,"ts":1700000000}'


def handler(**bounds: int) -> PushHandler:
    table = SeriesTable()
    return PushHandler(table, PushConfig(**bounds), mapping=Mapping([], table))


def post(
    push: PushHandler,
    body: bytes,
    path: str = "/v1/readings",
    now: Instant = NOW,
    who: str = "p",
    **headers: str,
) -> Response | Accepted | Waiting:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return push.request(who, "POST", path, named, body, now)


def accepted(outcome: Response | Accepted | Waiting) -> Accepted:
    assert isinstance(outcome, Accepted), outcome
    return outcome


def refused(outcome: Response | Accepted | Waiting) -> tuple[int, dict[str, str]]:
    assert isinstance(outcome, Response), outcome
    return outcome.status, json.loads(outcome.body)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (ONE, 1),
        (b"[" + ONE + b"," + ONE + b"]", 2),
        (b'{"readings":[' + ONE + b"]}", 1),
    ],
)
def test_readings_come_alone_in_an_array_or_in_an_object(body: bytes, count: int) -> None:
    outcome = accepted(post(handler(), body))
    assert outcome.batch.value == [21.5] * count
    assert outcome.batch.ts == [NOW.wall_ns] * count
    assert outcome.batch.message_ends == [count]
    assert sum(outcome.batch.size) == len(body)


def test_lines_of_json_are_readings_too() -> None:
    body = ONE + b"\n" + ONE + b"\n"
    assert len(accepted(post(handler(), body, content_type="application/x-ndjson")).batch.sid) == 2


def test_labels_times_and_sequences_arrive_as_declared() -> None:
    push = handler()
    body = b'{"series":"t","labels":{"b":"2","a":"1"},"ts":"2023-11-14T22:13:20Z","value":true,"seq":9}'
    batch = accepted(post(push, body)).batch
    assert push._table.key(batch.sid[0]) == SeriesKey("t", (("a", "1"), ("b", "2")))
    assert (batch.ts, batch.value, batch.seq) == ([NOW.wall_ns], [True], [9])
    assert accepted(post(push, b'{"series":"t","value":1}')).batch.ts == [NO_TIME]
    assert accepted(post(push, b'{"series":"t","value":1,"ts":5}', "/v1/readings?precision=ms")).batch.ts == [
        5 * 10**6
    ]


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        (b'[{"series":"a","value":1},{"series":"a","value":null}]', "wrong_type", "$[1].value"),
        (b'[{"series":"a","value":1},{"series":"","value":1}]', "bad_name", "$[1].series"),
        (b'{"series":"a","value":18446744073709551616}', "number_out_of_range", "$[0].value"),
        (b'{"series":"a","value":1,"ts":"noon"}', "bad_time", "$[0].ts"),
        (b'{"series":"a","value":1,"seq":-7}', "bad_sequence", "$[0].seq"),
        (b'{"series":"a","value":1,"seq":-1}', "bad_sequence", "$[0].seq"),
        (b'{"series":"a","val":1}', "wrong_type", "$"),
        (b'{"series":"a"}', "no_value", "$"),
        (b"{", "not_json", "$"),
        (b"", "not_json", "$"),
        (b'{"series":"\xff","value":1}', "invalid_utf8", ""),
    ],
)
def test_a_mistake_is_answered_with_its_place_and_nothing_is_taken(body: bytes, code: str, path: str) -> None:
    push = handler()
    status, problem = refused(post(push, body))
    assert status == 400
    assert (problem["code"], problem["path"]) == (code, path)
    assert set(problem) == {"code", "path", "hint", "message"}
    assert len(push._table) == 0


def test_line_protocol_is_taken_as_influx_clients_send_it() -> None:
    push = handler()
    line = b"cpu,host=a usage=1.5,idle=98i 1700000000"
    outcome = accepted(post(push, line, "/api/v2/write?org=o&bucket=b&precision=s"))
    assert outcome.batch.ts == [NOW.wall_ns] * 2
    assert push.committed(outcome.token)[0].response.status == 204
    assert accepted(post(push, line, "/v1/influx")).batch.ts == [1_700_000_000] * 2
    status, problem = refused(post(push, b"cpu usage=1\ncpu usage=x", "/write"))
    assert (status, problem["path"]) == (400, "line 2")
    assert refused(post(push, line, "/write?precision=fortnight"))[1]["path"] == "precision"
    assert push.request("", "GET", "/ping", {}, b"", NOW) == Response(204)


def test_cloudevents_come_structured_batched_and_binary() -> None:
    push = handler()
    event = {
        "specversion": "1.0", "type": "temp", "source": "/dev/1", "id": "1", "time": "2023-11-14T22:13:20Z",
        "data": {"value": 21.5},
    }  # fmt: skip
    body = json.dumps(event).encode()
    single = accepted(post(push, body, "/v1/cloudevents", content_type="application/cloudevents+json"))
    assert (single.batch.ts, single.batch.value) == ([NOW.wall_ns], [21.5])
    assert push._table.key(single.batch.sid[0]) == SeriesKey("temp", (("source", "/dev/1"),))
    batch = accepted(post(push, b"[" + body + b"," + body + b"]", "/v1/cloudevents"))
    assert batch.batch.value == [21.5, 21.5]
    binary = accepted(
        post(
            push,
            b"21.5",
            "/v1/cloudevents",
            content_type="application/json",
            ce_specversion="1.0",
            ce_type="temp",
            ce_source="/dev/1",
            ce_id="2",
            ce_time="2023-11-14T22:13:20Z",
        )
    )
    assert (binary.batch.sid, binary.batch.ts, binary.batch.value) == (
        single.batch.sid,
        [NOW.wall_ns],
        [21.5],
    )


def test_a_body_may_be_the_payload_of_a_topic() -> None:
    push = handler()
    outcome = accepted(post(push, b"21.5", "/v1/topics/plant/a%20b/temp"))
    assert push._table.key(outcome.batch.sid[0]).name == "plant/a b/temp"


def test_a_topic_with_wildcards_is_no_topic_to_publish_to() -> None:
    for topic in ("plant/+", "plant/%23", "a%00b"):
        status, problem = refused(post(handler(), b"21.5", f"/v1/topics/{topic}"))
        assert (status, problem["code"], problem["path"]) == (400, "bad_name", "topic")


def test_packed_bodies_are_unpacked_up_to_the_bound() -> None:
    assert accepted(post(handler(), gzip.compress(ONE), content_encoding="gzip")).batch.value == [21.5]
    two = gzip.compress(ONE[:10]) + gzip.compress(ONE[10:])
    assert accepted(post(handler(), two, content_encoding="gzip")).batch.value == [21.5]
    bomb = gzip.compress(b" " * 10_000_000)
    assert refused(post(handler(max_body_bytes=100_000), bomb, content_encoding="gzip"))[0] == 413
    assert refused(post(handler(), gzip.compress(ONE)[:-4], content_encoding="gzip"))[0] == 400
    assert refused(post(handler(), ONE, content_encoding="br"))[0] == 415
    assert refused(post(handler(max_body_bytes=10), ONE))[0] == 413
    assert refused(post(handler(max_readings=1), b"[" + ONE + b"," + ONE + b"]"))[0] == 413


def test_routes_and_methods_that_are_not_there_say_so() -> None:
    push = handler()
    assert push.request("", "GET", "/nowhere", {}, b"", NOW).status == 404
    answer = push.request("", "PUT", "/v1/readings", {}, ONE, NOW)
    assert isinstance(answer, Response)
    assert answer.status == 405
    assert ("allow", "POST") in answer.headers


def test_success_is_said_only_after_the_commit() -> None:
    push = handler()
    outcome = accepted(post(push, ONE))
    answers = push.committed(outcome.token)
    assert [(a.token, a.response.status, json.loads(a.response.body)) for a in answers] == [
        (outcome.token, 200, {"accepted": 1})
    ]
    assert push.committed(outcome.token) == []


def test_a_full_disk_is_503_with_retry_after_and_forgets_the_key() -> None:
    push = handler(retry_after_s=7)
    outcome = accepted(post(push, ONE, idempotency_key="k"))
    (answer,) = push.refused(outcome.token)
    assert answer.response.status == 503
    assert ("retry-after", "7") in answer.response.headers
    assert isinstance(post(push, ONE, idempotency_key="k"), Accepted)


def test_a_repeat_of_a_durable_request_is_answered_and_not_stored() -> None:
    push = handler()
    outcome = accepted(post(push, ONE, idempotency_key="k"))
    push.committed(outcome.token)
    again = post(push, ONE, idempotency_key="k")
    assert isinstance(again, Response)
    assert again.status == 200
    assert ("idempotency-replayed", "true") in again.headers
    assert isinstance(post(push, ONE, idempotency_key="k", who="other"), Accepted), "keys are per principal"


def test_the_same_key_with_another_body_is_422() -> None:
    push = handler()
    outcome = accepted(post(push, ONE, idempotency_key="k"))
    other = b'{"series":"temp","value":22}'
    assert refused(post(push, other, idempotency_key="k"))[0] == 422
    push.committed(outcome.token)
    assert refused(post(push, other, idempotency_key="k"))[0] == 422


def test_a_concurrent_repeat_waits_for_the_first_and_shares_its_fate() -> None:
    push = handler()
    first = accepted(post(push, ONE, idempotency_key="k"))
    second = post(push, ONE, idempotency_key="k")
    third = post(push, ONE, idempotency_key="k")
    assert isinstance(second, Waiting)
    assert isinstance(third, Waiting)
    push.gone(third.token)
    answers = push.committed(first.token)
    assert [a.token for a in answers] == [first.token, second.token]
    assert {a.response.status for a in answers} == {200}


def test_keys_survive_a_restart_by_snapshot_and_deltas() -> None:
    push = handler()
    first = accepted(post(push, ONE, idempotency_key="a"))
    push.committed(first.token)
    snapshot = push.snapshot()
    second = accepted(post(push, ONE, idempotency_key="b"))
    reborn = handler()
    reborn.restore(snapshot)
    reborn.replay(second.delta)
    assert isinstance(post(reborn, ONE, idempotency_key="a"), Response)
    assert isinstance(post(reborn, ONE, idempotency_key="b"), Response)
    unborn = handler()
    unborn.restore(snapshot)
    assert isinstance(post(unborn, ONE, idempotency_key="b"), Accepted), "its commit was never durable"


def test_keys_are_forgotten_after_a_day_and_beyond_their_number() -> None:
    push = handler()
    push.keys = Keys(kept=2)
    for name in ("a", "b", "c"):
        push.committed(accepted(post(push, ONE, idempotency_key=name)).token)
    assert push.keys.early_evictions == 1
    assert isinstance(post(push, ONE, idempotency_key="a"), Accepted)
    assert isinstance(post(push, ONE, idempotency_key="c"), Response)
    assert isinstance(post(push, ONE, now=NOW.later(24 * 3600 + 1), idempotency_key="c"), Accepted)


def test_an_untrusted_or_newly_set_clock_forgets_no_key() -> None:
    push = handler()
    early = Instant(1, 0, trusted=False)
    push.committed(accepted(post(push, ONE, now=early, idempotency_key="a")).token)
    push.committed(accepted(post(push, ONE, idempotency_key="b")).token)
    tomorrow = NOW.later(30 * 3600)
    untrusted = Instant(tomorrow.monotonic_ns, tomorrow.wall_ns, trusted=False)
    assert isinstance(post(push, ONE, now=untrusted, idempotency_key="b"), Response)
    assert isinstance(post(push, ONE, now=tomorrow, idempotency_key="a"), Response)
    assert isinstance(post(push, ONE, now=tomorrow, idempotency_key="b"), Accepted)


def test_a_damaged_snapshot_or_delta_is_storage_damage() -> None:
    for act in (handler().restore, handler().replay):
        with pytest.raises(StorageDamage):
            act(b"\xc1")


def test_requests_under_way_are_bounded() -> None:
    push = handler(max_pending=1)
    accepted(post(push, ONE))
    assert refused(post(push, ONE))[0] == 503


def test_what_its_content_refused_is_not_remembered() -> None:
    push = handler()
    assert refused(post(push, b"{", idempotency_key="k"))[0] == 400
    assert isinstance(post(push, ONE, idempotency_key="k"), Accepted)


@given(
    body=st.binary(max_size=200),
    path=st.sampled_from(["/v1/readings", "/v1/influx", "/v1/cloudevents", "/v1/topics/a"]),
)
@settings(max_examples=400)
def test_any_body_is_accepted_or_refused_and_never_raises(body: bytes, path: str) -> None:
    for headers in ({}, {"content-encoding": "gzip"}, {"content-type": "application/x-ndjson"}):
        outcome = handler().request("", "POST", path, headers, body, NOW)
        assert isinstance(outcome, Accepted) or (
            isinstance(outcome, Response) and outcome.status in (200, 204, 400, 413)
        )
