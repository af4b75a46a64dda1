"""A node that keeps everything and can be told to lie; only what the demo needs of one.

All nodes of a site share a folder: each appends what it stores to a file of its own, the cloud's answer is
made of all files. `FAKE_NODE` names the lie: `forgets` (acknowledges what it never stores, now and then),
`repeats` (does not recognise what comes again), `swaps` (tells two rows in the wrong order), `alters` (stores
another value), `dies` (ends by itself), or nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tomllib
from pathlib import Path

from headland.demo.proxies import CONNECT, PUBLISH, Packets

LIE = os.environ.get("FAKE_NODE", "")


class FakeNode:
    def __init__(self, file: Path) -> None:
        self.config = tomllib.loads(file.read_text())
        self.origin = f"{self.config['node']['site']}/{self.config['node']['name']}"
        self.shared = file.parent.parent / "stored"
        self.shared.mkdir(exist_ok=True)
        self.path = self.shared / f"{self.config['node']['name']}.jsonl"
        self.known = {json.dumps(row) for row in self.rows(self.path)}
        self.file = self.path.open("a")
        self.count = 0

    def rows(self, path: Path) -> list[list[object]]:
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().split("\n")[:-1]]

    def store(self, series: str, ts: object, seq: object, value: object) -> None:
        self.count += 1
        row = [series, ts, seq, value]
        if LIE == "forgets" and self.count % 50 == 0:
            return
        if LIE == "dies" and self.count == 20:
            raise SystemExit(3)
        if LIE == "alters" and self.count % 50 == 0:
            row[3] = -1
        text = json.dumps(row)
        if text in self.known and LIE != "repeats":
            return
        self.known.add(text)
        self.file.write(text + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())

    async def mqtt(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packets, version = Packets(), 4
        try:
            while data := await reader.read(65536):
                for first, body in packets.feed(data):
                    if first >> 4 == CONNECT:
                        version = body[6]
                        writer.write(b"\x20\x03\x00\x00\x00" if version == 5 else b"\x20\x02\x00\x00")
                    elif first >> 4 == PUBLISH:
                        length = int.from_bytes(body[:2], "big")
                        topic = body[2 : 2 + length].decode()
                        payload = body[4 + length :]
                        document = json.loads(payload[1 + payload[0] :] if version == 5 else payload)
                        self.store(topic.removeprefix("demo/"), document["t"], document["s"], document["v"])
                        writer.write(b"\x40\x02" + body[2 + length : 4 + length])
        except OSError:
            pass
        writer.close()

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = next(
                    (int(x.split(":")[1]) for x in head.split("\r\n") if x.startswith("Content-Length")), 0
                )
                body = await reader.readexactly(length)
                for one in json.loads(body) if body else []:
                    self.store(one["series"], one["ts"], one["seq"], one["value"])
                answer = json.dumps(self.answer(head.split()[1])).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.close()

    def answer(self, path: str) -> object:
        if path.startswith("/v1/query"):
            rows = [
                {
                    "name": series, "labels": {"site": "demo"}, "_site": "demo", "ts": ts, "seq": seq,
                    "value": value, "kind": 0, "_class": "normal",
                    "_origin": f"demo/{path.stem}", "_lane": 0, "_arrival": number, "_rule_version": "",
                    "_late": False, "_boost": False,
                }
                for path in self.shared.glob("*.jsonl")
                for number, (series, ts, seq, value) in enumerate(self.rows(path))
            ]  # fmt: skip
            if LIE == "swaps":
                rows[3]["_arrival"], rows[200]["_arrival"] = rows[200]["_arrival"], rows[3]["_arrival"]
            return {"rows": rows}
        amount = {"readings": self.count, "bytes": self.count * 50}
        return {
            "name": self.origin,
            "balanced": True,
            "link": "up",
            "accounts": {"offered": amount, "committed": amount},
        }


async def main() -> None:
    node = FakeNode(Path(sys.argv[1]))
    servers = [
        await asyncio.start_server(node.mqtt, "127.0.0.1", node.config["listen"][0]["port"]),
        await asyncio.start_server(node.http, "127.0.0.1", node.config["http"]["port"]),
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
