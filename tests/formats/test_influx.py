"""Laws of InfluxDB line protocol."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headland.line.formats import FormatLimits, Mapping, MappingConfig, RejectReason, Unfit
from headland.line.formats.influx import Precision, line_protocol, lines_of
from headland.vocabulary import NO_TIME, Batch, SeriesKey, SeriesTable, Value

LIMITS = FormatLimits()


def read(
    text: str | bytes, precision: Precision = Precision.NS
) -> list[tuple[str, dict[str, str], int, Value]]:
    found = line_protocol(text.encode() if isinstance(text, str) else text, precision, LIMITS)
    out = []
    for key, ts, value in zip(found.name, found.ts, found.value, strict=True):
        assert isinstance(key, SeriesKey)
        out.append((key.name, dict(key.labels), ts, value))
    return out


def test_fields_are_series_and_tags_are_labels() -> None:
    assert read("weather,location=us-midwest,season=summer temperature=82,ok=t 1465839830100400200") == [
        ("weather/temperature", {"location": "us-midwest", "season": "summer"}, 1465839830100400200, 82.0),
        ("weather/ok", {"location": "us-midwest", "season": "summer"}, 1465839830100400200, True),
    ]
    assert read("temp value=1") == [("temp", {}, NO_TIME, 1.0)]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1.0),
        ("-1.5e-3", -0.0015),
        (".5", 0.5),
        ("1.", 1.0),
        ("12i", 12),
        ("-9223372036854775808i", -(2**63)),
        ("9223372036854775807u", 2**63 - 1),
        ("t", True),
        ("T", True),
        ("TRUE", True),
        ("f", False),
        ("False", False),
        ('""', ""),
        ('"a b,c=d"', "a b,c=d"),
        (r'"say \"hi\" \\ \n"', r'say "hi" \ \n'),
        ('"two\nlines"', "two\nlines"),
    ],
)
def test_every_type_of_field_is_read(written: str, value: Value) -> None:
    ((_, _, ts, found),) = read(f"m x={written} 5")
    assert (found, type(found), ts) == (value, type(value), 5)


@pytest.mark.parametrize(
    ("written", "name", "labels"),
    [
        (r"wea\,ther x=1", "wea,ther/x", {}),
        (r"wea\ ther x=1", "wea ther/x", {}),
        (r"wea\=ther x=1", r"wea\=ther/x", {}),
        (r"wea=ther x=1", "wea=ther/x", {}),
        (r"m,k\ 1\,\==v\ 2\,\= x=1", "m/x", {"k 1,=": "v 2,="}),
        (r"m f\ i\,e\=ld=1", "m/f i,e=ld", {}),
        (r"m,k=a\b x=1", "m/x", {"k": r"a\b"}),
        (r"m,path=C:\\dir x=1", "m/x", {"path": r"C:\\dir"}),
        ("mesure,où=là é=1", "mesure/é", {"où": "là"}),
    ],
)
def test_escapes_and_unicode_are_read(written: str, name: str, labels: dict[str, str]) -> None:
    assert read(written) == [(name, labels, NO_TIME, 1.0)]


def test_lines_comments_blanks_and_carriage_returns() -> None:
    text = "# a comment\n\nm x=1 1\r\n  \n m x=2 2\n# end"
    assert [(ts, value) for _, _, ts, value in read(text)] == [(1, 1.0), (2, 2.0)]
    assert read("") == []


def test_timestamps_count_in_the_precision() -> None:
    for precision, scale in ((Precision.S, 10**9), (Precision.MS, 10**6), (Precision.H, 3600 * 10**9)):
        assert read("m x=1 -7", precision)[0][2] == -7 * scale


@pytest.mark.parametrize(
    ("text", "why", "path"),
    [
        ("m", RejectReason.NOT_LINE_PROTOCOL, "line 1"),
        ("m x", RejectReason.NOT_LINE_PROTOCOL, "line 1"),
        ("m x=", RejectReason.NOT_LINE_PROTOCOL, "line 1"),
        ("m,x=1", RejectReason.NOT_LINE_PROTOCOL, "line 1"),
        ("m,k= x=1", RejectReason.NOT_LINE_PROTOCOL, "line 1"),
        ("m,k=1,k=2 x=1", RejectReason.NOT_LINE_PROTOCOL, "line 1"),
        (",k=1 x=1", RejectReason.NOT_LINE_PROTOCOL, "line 1"),
        ('m x="open', RejectReason.NOT_LINE_PROTOCOL, "line 1"),
        ("m x=1 2 3", RejectReason.NOT_LINE_PROTOCOL, "line 1"),
        ("m x=1\nm x=1 1\n\nm x=huh", RejectReason.NOT_A_NUMBER, "line 4"),
        ('m x="a\nb"\nm x=1_0', RejectReason.NOT_A_NUMBER, "line 3"),
        ("m x=nan", RejectReason.NOT_A_NUMBER, "line 1"),
        ("m x=-1u", RejectReason.NUMBER_OUT_OF_RANGE, "line 1"),
        ("m x=9223372036854775808i", RejectReason.NUMBER_OUT_OF_RANGE, "line 1"),
        ("m x=1e999", RejectReason.NUMBER_OUT_OF_RANGE, "line 1"),
        ("m x=1 99999999999999999999", RejectReason.BAD_TIME, "line 1"),
    ],
)
def test_a_bad_line_rejects_the_payload_with_its_number(text: str, why: RejectReason, path: str) -> None:
    with pytest.raises(Unfit) as caught:
        read(text)
    assert (caught.value.reason, caught.value.path) == (why, path)


def test_the_mapping_adds_its_labels_and_its_unit_of_time() -> None:
    table, batch = SeriesTable(), Batch()
    config = MappingConfig(topic="telegraf/{site}", format="influx", time_unit="s", labels={"via": "mqtt"})
    mapping = Mapping([config], table)
    assert mapping.decode_run(["telegraf/n"], [b"cpu,host=a x=1 5\ncpu,host=a x=2 6"], 0, batch) == []
    labels = (("host", "a"), ("site", "n"), ("via", "mqtt"))
    assert table.key(batch.sid[0]) == SeriesKey("cpu/x", labels)
    assert batch.ts == [5 * 10**9, 6 * 10**9]
    assert batch.message_ends == [2]


@given(payload=st.text(alphabet=st.sampled_from('mk,= \\"\n#\r1.5eitfxu-'), max_size=60))
@settings(max_examples=1000)
def test_any_text_is_read_or_unfit(payload: str) -> None:
    try:
        read(payload)
    except Unfit:
        return


SIMPLE = [
    "m x=1",
    "m x=2 5",
    "m,k=v x=1,y=2 7",
    "m,k=v y=2i,x=1e999",
    "m x=1  5",
    "m x=",
    "# c",
    "",
    " m x=3",
]
ODD = [
    "m x=3\r",
    "m x=1 -5",
    "m x=1 99999999999999999999",
    "m,k=w x=t",
    "m y=.5,x=-1.5e3 1",
    "m x=1,",
    "m x=1 5 6",
]
LINES = st.lists(st.sampled_from(SIMPLE + ODD), max_size=8).map("\n".join)


@given(lines=LINES)
@settings(max_examples=500)
def test_the_short_way_for_simple_lines_gives_what_the_long_way_gives(lines: str) -> None:
    def outcome(text: str) -> object:
        try:
            return read(text)
        except Unfit as unfit:
            return unfit.reason, unfit.path

    assert outcome(lines) == outcome(lines + '\n# a quote takes the long way: "')


NAMES = st.text(
    st.characters(exclude_characters="\\", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8
).filter(lambda name: not name.startswith("#"))


@given(
    name=NAMES,
    labels=st.dictionaries(NAMES, NAMES, max_size=3),
    ts=st.just(NO_TIME) | st.integers(-(2**63) + 1, 2**63 - 1),
    value=st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
@settings(max_examples=500)
def test_what_is_written_as_line_protocol_is_read_again(
    name: str, labels: dict[str, str], ts: int, value: Value
) -> None:
    key = SeriesKey(name, tuple(sorted(labels.items())))
    ((read_name, read_labels, read_ts, read_value),) = read("\n".join(lines_of(iter([(key, ts, value)]))))
    assert (read_name, read_labels, read_ts) == (name, labels, ts)
    assert read_value == value
    assert type(read_value) is type(value)
    assert not (isinstance(value, float) and math.copysign(1, value) != math.copysign(1, read_value))
