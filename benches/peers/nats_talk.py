"""Speaks to NATS servers: run by the Python of the environment of the peers, which has nats-py.

nats_talk.py streams EDGE NORTH      make the stream of the edge, and the one of the north that fetches it
nats_talk.py load EDGE PLAN          publish by a plan, write acknowledgements to its log
nats_talk.py read NORTH SUBJECTS     print [[subject, payload, stored at], ...] in the order of the stream
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import nats
from nats.errors import Error
from nats.js.api import ExternalStream, StorageType, StreamConfig, StreamSource

LATE_S = 10.0
"""How long after the planned end a client that had nobody to send to may go on with what it has left."""


async def streams(edge: str, north: str) -> None:
    """The edge's stream takes bench.>; the north's takes over what that one holds."""
    near = await nats.connect(edge)
    await near.jetstream().add_stream(
        StreamConfig(name="BENCH", subjects=["bench.>"], storage=StorageType.FILE)
    )
    far = await nats.connect(north)
    source = StreamSource(name="BENCH", external=ExternalStream(api="$JS.leaf.API", deliver="take.bench"))
    await far.jetstream().add_stream(StreamConfig(name="ALL", sources=[source], storage=StorageType.FILE))
    await near.close()
    await far.close()


async def _expected(_: Exception) -> None:
    """That a server goes away is the trial."""


async def load(edge: str, plan: dict[str, float]) -> None:
    """Each client has at most `window` publishes in flight, and sends again what was not answered."""
    acked: list[list[object]] = []
    total, until = round(plan["rate"] * plan["seconds"]), time.monotonic() + plan["seconds"] + LATE_S

    async def client(number: int) -> None:
        connection = await nats.connect(
            edge, max_reconnect_attempts=-1, reconnect_time_wait=0.05, connect_timeout=2, error_cb=_expected
        )
        stream = connection.jetstream(timeout=1)
        gate = asyncio.Semaphore(int(plan["window"]))
        pending: set[asyncio.Task[None]] = set()
        subject = f"bench.{number}"

        async def one(value: int) -> None:
            body = b'{"t":%d,"v":%d}' % (time.time_ns() // 1_000_000, value)
            try:
                while time.monotonic() < until + 20:
                    try:
                        await stream.publish(subject, body, headers={"Nats-Msg-Id": f"{subject}-{value}"})
                    except (TimeoutError, Error, OSError):
                        await asyncio.sleep(0.05)
                    else:
                        acked.append([f"bench/{number}", value])
                        return
            finally:
                gate.release()

        value, begun = 0, time.monotonic()
        while value < total and (now := time.monotonic()) < until:
            if (wait := begun + value / plan["rate"] - now) > 0:
                await asyncio.sleep(wait)
            await gate.acquire()
            value += 1
            task = asyncio.create_task(one(value))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.gather(*pending)
        await connection.close()

    await asyncio.gather(*(client(number) for number in range(int(plan["clients"]))))
    sys.stdout.write(json.dumps(acked))


async def read(north: str, subjects: str) -> None:
    """What the northern stream holds of these subjects, in its order: [subject, payload, stored at in ms]."""
    connection = await nats.connect(north)
    stream = connection.jetstream()
    held = int((await stream.stream_info("ALL", subjects_filter=subjects)).state.messages)
    subscription = await stream.subscribe(subjects, stream="ALL", ordered_consumer=True)
    rows: list[list[object]] = []
    last = 0
    while last < held:
        try:
            message = await subscription.next_msg(timeout=2)
        except TimeoutError:
            break  # the last of the stream are of other subjects
        meta = message.metadata
        last = meta.sequence.stream
        rows.append([message.subject, message.data.decode(), meta.timestamp.timestamp() * 1000])
    sys.stdout.write(json.dumps(rows))
    await connection.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["streams", near, far]:
            asyncio.run(streams(near, far))
        case ["load", near, path]:
            asyncio.run(load(near, json.loads(Path(path).read_text())))
        case ["read", far, subjects]:
            asyncio.run(read(far, subjects))
        case _:
            sys.exit(__doc__)
