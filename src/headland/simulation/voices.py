"""What simulated devices say besides their own JSON: every format of the field, and what no format can read.

Each voice is a repertoire of (topic, payload), said in turn; what the words in it mean is the node's mapping.
Nothing here is judged reading by reading: it is there so that whatever a payload does to the line, the books,
the acknowledgements and everybody else's readings are right.
"""

from __future__ import annotations

import math
import struct
from base64 import b64encode
from datetime import UTC, datetime
from enum import StrEnum

from headland.line.formats.wire import field


class Voice(StrEnum):
    """In which words a device speaks."""

    OWN = "own"
    DOCUMENT = "document"
    MAPPED = "mapped"
    INFLUX = "influx"
    CLOUDEVENT = "cloudevent"
    SPARKPLUG = "sparkplug"
    LOG = "log"
    SAMPLES = "samples"
    PACKED = "packed"
    WORDS = "words"


Saying = tuple[str, bytes]
_DEEP = b'{"a":' * 24 + b"1" + b"}" * 24
_LONG = b"[" + b",".join(b"%d" % i for i in range(40)) + b"]"

DOCUMENTS: tuple[Saying, ...] = (
    ("value", b'{"value":%(v)f,"ts":%(ms)d}'),
    ("value", b'{"value":%(v)f,"ts":%(ms)d}'),
    ("value", b'{"value":%(n)d,"ts":%(ms)d}'),
    ("value", b'{"value":%(v)f,"ts":%(ms)d.5}'),
    ("value", b'{"value":"high","ts":%(ms)d}'),
    ("short", b'{"v":%(v)f,"time":"%(text)s"}'),
    ("short", b'{"v":%(v)f,"time":"%(text)s"}'),
    ("short", b'{"v":%(v)f,"time":"2026-01-01T00:00:01+02:00"}'),
    ("short", b'{"v":%(v)f,"time":"2026-01-01 00:00:01,123456789"}'),
    ("short", b'{"v":%(v)f,"time":"2026-13-41T00:00:01Z"}'),
    ("short", b'{"v":%(v)f,"time":"yesterday"}'),
    ("leaves", b'{"temp":%(v)f,"count":%(n)d,"on":true,"ts":%(ms)d}'),
    ("leaves", b'{"temp":%(v)f,"count":%(n)d,"on":false,"ts":%(ms)d}'),
    ("leaves", b'{"temp":%(v)f,"count":%(n)d,"on":true,"ts":true}'),
    ("leaves", b'{"count":%(n)d,"temp":%(v)f,"ts":%(ms)d}'),
    ("bare", b"%(v)f"),
    ("bare", b"%(n)d"),
    ("bare", b"true"),
    ("bare", b"null"),
    ("bare", b'"closed"'),
    ("bare", b""),
    ("untimed", b'{"value":%(n)d}'),
    ("untimed", b'{"value":%(v)f}'),
    ("untimed", b'{"value":true}'),
    ("seconds", b'{"value":%(v)f,"timestamp":%(s)d}'),
    ("seconds", b'{"value":%(v)f,"timestamp":"%(s)d"}'),
    ("seconds", b'{"value":%(v)f,"timestamp":"%(s)d.25"}'),
    ("seconds", b'{"value":%(v)f,"timestamp":%(ms)d000}'),
    ("seconds", b'{"value":%(v)f,"timestamp":%(ms)d000000}'),
    ("seconds", b'{"value":%(v)f,"timestamp":1e300}'),
    ("seconds", b'{"value":%(v)f,"timestamp":null}'),
    ("seconds", b'{"value":%(v)f,"timestamp":[1]}'),
    ("list", b'[{"value":%(v)f,"ts":%(ms)d},{"value":%(n)d}]'),
    ("list", b'[{"value":%(v)f,"ts":%(ms)d},7]'),
    ("list", b"[%(v)f,%(n)d,null]"),
    ("nest", b'{"a":{"b":{"c":%(v)f}},"list":[1,2.5,true],"text":"x","nil":null,"t":%(ms)d}'),
    ("nest", b'{"a":{"b":{"c":12345678901234567890}},"t":5}'),
    ("nest", _DEEP),
    ("nest", _LONG),
    ("nest", b'{"list":' + _LONG + b"}"),
    ("mixed", b'{"a":%(v)f,"b":%(n)d}'),
    ("mixed", b'{"b":%(n)d}'),
    ("mixed", b'{"a":%(v)f}'),
    ("wrong", b'{"value":'),
    ("wrong", b'{"value":nan}'),
    ("wrong", b'{"value":1e999}'),
    ("wrong", b'{"value":123456789012345678901234567890}'),
    ("wrong", b'{"text":"\xff\xfe"}'),
    ("wrong", b"\xff\xfe\xfd"),
    ("wrong", b"{}"),
    ("wrong", b"[]"),
    ("wrong", b'{"text":"only words"}'),
    ("wrong", b'{"value":null}'),
    ("wrong", b"[" * 2000),
    ("wrong", b"x" * 70_000),
)

MAPPED: tuple[Saying, ...] = (
    ("map/north/p4/vibration", b'{"data":{"x":%(v)f,"s":%(n)d},"at":{"ms":%(ms)d}}'),
    ("map/north/p4/vibration", b'{"data":{"s":%(n)d},"at":{"ms":%(ms)d}}'),
    ("map/south/p5/vibration", b'{"data":{"x":%(v)f,"s":-1},"at":{"ms":%(ms)d}}'),
    ("map/south/p5/vibration", b'{"data":{"x":%(v)f,"s":1.5},"at":null}'),
    ("many/p1", b'{"t":%(v)f,"h":{"rel":%(n)d},"when":"%(text)s"}'),
    ("many/p1", b'{"t":null,"when":"%(text)s"}'),
    ("many/p1", b'{"t":{"deep":%(v)f},"when":7}'),
    ("rows/p1", b'{"start":%(s)d,"rows":[{"id":"a","v":%(v)f},{"id":7,"v":%(n)d}]}'),
    ("rows/p1", b'{"start":%(s)d,"rows":[{"id":true,"v":%(v)f}]}'),
    ("rows/p1", b'{"start":%(s)d,"rows":[{"v":%(v)f}]}'),
    ("rows/p1", b'{"start":%(s)d,"rows":7}'),
    ("state/door", b"ON"),
    ("state/door", b"OFF"),
    ("state/door", b"ajar"),
    ("state/door", b"%(v)f"),
    ("json-state/door", b'{"state":"ON","list":["OFF","x"],"text":"y"}'),
    ("words/door", b'{"state":"open","who":{"name":"ann"},"n":%(n)d}'),
    ("words/door", b'{"state":"' + b"z" * 70_000 + b'"}'),
    ("raw/blob", b"\x00\x01%(n)d"),
    ("raw/blob", b"\x00" * 70_000),
    ("us/p1", b'{"v":%(v)f,"t":%(ms)d000}'),
    ("us/p1", b'{"v":%(v)f,"t":9300000000000000000}'),
    ("nowhere", b"1"),
    ("dev-7/speed", b'{"v":%(v)f}'),
    ("dev-/speed", b'{"v":%(v)f}'),
)

INFLUX: tuple[Saying, ...] = (
    ("influx/a", b"cpu,host=a,core=1 value=%(v)f,idle=%(n)di %(ms)d000000\n"),
    ("influx/a", b"cpu,host=a value=%(v)f %(ms)d000000\ncpu,host=a value=%(v)f %(ms)d000001\n\n# done\n"),
    ("influx/a", b"cpu,host=a value=%(v)f\ncpu,host=a value=1\ncpu,host=a value=x\n"),
    ("influx/a", b"cpu,host=a value=%(v)f 99999999999999999999\n"),
    ("influx/b", b'door,room=a\\ b state="op\\"en",ok=t,n=%(n)du %(ms)d000000\r\n# x\n\n m\\,x value=1\n'),
    ("influx/b", b'door state="never closed'),
    ("influx/b", b'door,room= state="a"'),
    ("influx/b", b'door,room=a,room=b state="a"'),
    ("influx/b", b'door state="a" 5 6'),
    ("influx/b", b'door state="a",big=99999999999999999999i'),
    ("influx/b", b'door state="a",far=1e999'),
    ("influx/b", b'door state="a",odd=what'),
    ("influx/b", b"door"),
    ("influx/b", b'door "'),
    ("influx/b", b"door \\=1"),
    ("influx/b", b"\xff"),
    ("influx/a", b"cpu value=1,value=2,x= 1"),
    ("influx/a", b" cpu value=FALSE,more=-1.5e3 -5"),
)

_EVENT = b'"specversion":"1.0","id":"%(n)d","source":"/press/4"'
CLOUDEVENTS: tuple[Saying, ...] = (
    ("event", b"{" + _EVENT + b',"type":"temp","time":"%(text)s","data":{"value":%(v)f}}'),
    ("event", b"{" + _EVENT + b',"type":"temp","subject":"door","data":{"a":%(v)f,"b":2}}'),
    ("event", b"[{" + _EVENT + b',"type":"temp","data":%(v)f},{' + _EVENT + b',"type":"t","data":null}]'),
    ("event", b"{" + _EVENT + b',"type":"blob","data_base64":"' + b64encode(b"bytes") + b'"}'),
    ("event", b"{" + _EVENT + b',"type":"blob","data_base64":"***"}'),
    ("event", b"{" + _EVENT + b',"type":"temp","time":7,"data":1}'),
    ("event", b"{" + _EVENT + b',"type":"temp","time":"soon","data":1}'),
    ("event", b"{" + _EVENT + b',"type":""}'),
    ("event", b'{"specversion":"0.3","id":"1","source":"/p","type":"t","data":1}'),
    ("event", b"[{" + _EVENT + b',"type":"temp","data":1},7]'),
    ("auto/event", b"{" + _EVENT + b',"type":"temp","time":"%(text)s","data":{"value":%(v)f}}'),
    ("auto/event", b"[{" + _EVENT + b',"type":"temp","data":{"value":%(v)f}}]'),
    ("event", b"{"),
)

LOGS: tuple[Saying, ...] = (
    ("log", b"<34>Oct 11 22:14:15 host su: failed for lonvick"),
    ("log", b"<165>Oct 11 22:14:15 host app: fine"),
    ("log", b'10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326'),
    ("log", b'10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 404 2326'),
    ("log", b'10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 503 2326'),
    ("log", b"[Sun Dec 04 04:47:44 2005] [error] mod_jk child in error state"),
    ("log", b"[Sun Dec 04 04:47:44 2005] what is this"),
    ("log", b"2015-10-18 18:01:47,978 INFO [main] org.apache: created"),
    ("log", b"2015-10-18 18:01:48,963 ERROR [main] org.apache: gone"),
    ("log", b"java.io.IOException: Connection reset"),
    ("log", b"\tat org.apache.Server.run(Server.java:17)"),
    ("log", b"Caused by: java.net.SocketException"),
    ("log", b"2016-09-28 04:30:30, Info                  CBS    Loaded"),
    ("log", b"2016-09-28 04:30:31, Info                  CBS    Warning: odd"),
    ("log", b"- 1117838570 2005.06.03 R02 2005-06-03-15.42.50.675872 R02 RAS KERNEL INFO corrected"),
    ("log", b"Jun 14 15:16:01 combo sshd[1]: authentication failure; user=root"),
    ("log", b"Jun 14 15:16:02 combo kernel: out of memory"),
    ("log", b"Jun 14 15:16:03 combo cron[2]: session opened"),
    ("log", b"nothing that a format knows"),
    ("log", b"<999 no priority"),
    ("log", b""),
    ("log", b"%(v)f"),
)

WORDS: tuple[Saying, ...] = (
    ("w", b"%(v)f"),
    ("w", b"%(n)d"),
    ("w", b"running"),
    ("w", b"stopped"),
    ("w", b"stopped"),
    ("w", b"a text that is longer than what an index of repeats keeps whole, %(n)d"),
    ("w", b"nan"),
    ("w", b"inf"),
    ("w", b"99999999999999999999"),
    ("w", b"1e999"),
    ("w", b"true"),
    ("w", b"\xff\xff"),
)

_REPERTOIRES = {
    Voice.DOCUMENT: DOCUMENTS,
    Voice.MAPPED: MAPPED,
    Voice.INFLUX: INFLUX,
    Voice.CLOUDEVENT: CLOUDEVENTS,
    Voice.LOG: LOGS,
    Voice.WORDS: WORDS,
}


def say(voice: Voice, name: str, number: int, ts: int, value: float) -> Saying:
    """Topic and payload of a device's publish of this number, at its time `ts` (ns UTC)."""
    match voice:
        case Voice.SPARKPLUG:
            return _sparkplug(name, number, ts // 1_000_000, value)
        case Voice.SAMPLES:
            return f"{name}/x", b'{"value":%f,"ts":%d}' % (_sample(number, value), ts // 1_000_000)
        case Voice.PACKED:
            size = (64, 200, 64, 63)[number % 4]
            if number % 9 == 8:
                return f"{name}/x", b"\x01\x02\x03"
            samples = [_sample(number * 64 + i, value) for i in range(size)]
            return f"{name}/x", struct.pack(f"<{size}f", *samples)
        case _:
            repertoire = _REPERTOIRES[voice]
            topic, template = repertoire[number % len(repertoire)]
            moment = datetime.fromtimestamp(ts // 1_000_000_000, UTC)
            words = {
                b"v": value,
                b"n": number,
                b"ms": ts // 1_000_000,
                b"s": ts // 1_000_000_000,
                b"text": f"{moment:%Y-%m-%dT%H:%M:%S}.{ts // 1000 % 1_000_000:06d}Z".encode(),
            }
            own = voice in (Voice.DOCUMENT, Voice.LOG, Voice.WORDS)
            return f"{name}/{topic}" if own else topic, template % words if b"%(" in template else template


def _sample(number: int, value: float) -> float:
    return round(math.sin(number / 3) + value / 100 + (5.0 if number % 97 < 3 else 0.0), 4)


# ── Sparkplug B ────────────────────────────────────────────────────────────────────────────────────────


def _metric(name: str, alias: int, datatype: int, value: bytes, ms: int = 0) -> bytes:
    out = field(1, name.encode()) if name else b""
    if alias >= 0:
        out += field(2, alias)
    if ms:
        out += field(3, ms)
    return field(2, out + field(4, datatype) + value)


def _double(value: float) -> bytes:
    return bytes((13 << 3 | 1,)) + struct.pack("<d", value)


def _float(value: float) -> bytes:
    return bytes((12 << 3 | 5,)) + struct.pack("<f", value)


def _data_set(number: int) -> bytes:
    """Two columns (a number and a text), one row; now and then with a column too few."""
    columns = field(2, b"a") + (field(2, b"b") if number % 3 else b"")
    row = field(1, field(2, number)) + field(1, field(6, b"text"))
    return field(17, field(1, 2) + columns + field(3, bytes((8, 12))) + field(4, row))


def _template(number: int) -> bytes:
    inner = _metric("x", -1, 10, _double(1.5)) + _metric("y", -1, 3, field(10, number))
    return field(18, inner + (field(5, 1) if number % 2 else b""))


def _sparkplug(name: str, number: int, ms: int, value: float) -> Saying:
    """An edge node's life: births, data by alias, a gap, a death, what is no Sparkplug at all."""
    base, step = f"spBv1.0/plant/%s/{name}", number % 24
    head, seq = field(1, ms), field(3, step % 256)
    own = (
        _metric("temp", 1, 10, _double(value), ms)
        + _metric("speed", 2, 9, _float(value))
        + _metric("level", 3, 3, field(10, (1 << 32) - number % 7))
        + _metric("on", 4, 11, field(14, number % 2))
        + _metric("mode", 5, 12, field(15, b"auto"))
        + _metric("blob", 6, 17, field(16, b"\x00\x01"))
        + _metric("big", 7, 8, field(11, number))
        + _metric("bdSeq", -1, 8, field(11, number // 24))
        + _metric("Node Control/Rebirth", -1, 11, field(14, 0))
    )
    by_alias = _metric("", 1, 0, _double(value), ms) + _metric("", 3, 0, field(10, number))
    match step:
        case 0:
            return base % "NBIRTH", head + own + field(3, 0)
        case 1:
            device = _metric("x", 1, 10, _double(value)) + _metric("y", 2, 10, field(7, 1))
            return f"{base % 'DBIRTH'}/press", head + device + seq
        case 8:
            return f"{base % 'DDATA'}/press", head + _metric("", 1, 0, _double(value)) + seq
        case 9:
            return base % "NDATA", head + _metric("", 99, 0, _double(value)) + seq
        case 10:
            return base % "NDATA", head + _metric("set", -1, 16, _data_set(number)) + seq
        case 11:
            return base % "NDATA", head + _metric("shape", -1, 19, _template(number)) + seq
        case 12:
            return f"{base % 'DDEATH'}/press", head + seq
        case 13:
            return base % "NDATA", b"\xff\xff\xff"
        case 14:
            return base % "NDATA", head + by_alias + field(3, 200)
        case 15:
            return base % "XDATA", head
        case 16:
            return "spBv1.0/STATE/host", b'{"online":true}'
        case 17:
            return base % "NCMD", head
        case 18:
            return base % "NBIRTH", head + _metric("", 1, 10, _double(value))
        case 19:
            return base % "NDATA", field(1, 1 << 62) + by_alias + seq
        case 20:
            return "spBv1.0/short", head
        case 22:
            return base % "NDEATH", head + _metric("bdSeq", -1, 8, field(11, number // 24 + 5))
        case 23:
            return base % "NDEATH", head + _metric("bdSeq", -1, 8, field(11, number // 24))
        case _:
            return base % "NDATA", head + by_alias + seq
