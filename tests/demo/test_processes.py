from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from headland.demo.processes import group

SLEEPER = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def await_gone(pids: list[int]) -> None:
    until = time.monotonic() + 10
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < until, f"still there: {[pid for pid in pids if not gone(pid)]}"
        time.sleep(0.02)


def module(tmp_path: Path, text: str) -> dict[str, str]:
    (tmp_path / "sleeper.py").write_text(text)
    return {"PYTHONPATH": str(tmp_path)}


def test_children_share_one_group_that_is_not_ours_and_do_not_outlive_it(tmp_path: Path) -> None:
    async def story() -> list[int]:
        async with group() as processes:
            environment = module(tmp_path, "import time; time.sleep(60)")
            children = [
                await processes.start(f"c{n}", ["sleeper"], tmp_path / f"c{n}.log", environment)
                for n in range(2)
            ]
            pids = [child.process.pid for child in children]
            assert len({os.getpgid(pid) for pid in pids}) == 1
            assert os.getpgid(pids[0]) != os.getpgid(0)
        return pids

    await_gone(asyncio.run(story()))


def test_an_exception_ends_the_children_too(tmp_path: Path) -> None:
    pids = []

    async def story() -> None:
        async with group() as processes:
            environment = module(tmp_path, "import time; time.sleep(60)")
            pids.append(
                (await processes.start("c", ["sleeper"], tmp_path / "c.log", environment)).process.pid
            )
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        asyncio.run(story())
    await_gone(pids)


def test_a_killed_child_leaves_the_others_alone_and_its_last_words_are_kept(tmp_path: Path) -> None:
    async def story() -> None:
        async with group() as processes:
            environment = module(
                tmp_path, "import sys,time; sys.stderr.write('hello\\n'); sys.stderr.flush(); time.sleep(60)"
            )
            first = await processes.start("a", ["sleeper"], tmp_path / "a.log", environment)
            second = await processes.start("b", ["sleeper"], tmp_path / "b.log", environment)
            async with asyncio.timeout(10):
                while "hello" not in first.last_words():
                    await asyncio.sleep(0.01)
            await first.kill()
            assert (first.running, second.running) == (False, True)
            assert first.process.returncode == -signal.SIGKILL

    asyncio.run(story())


def test_the_group_ends_even_when_its_owner_is_killed(tmp_path: Path) -> None:
    owner = tmp_path / "owner.py"
    owner.write_text(
        "import asyncio, sys, pathlib\n"
        "from headland.demo.processes import group\n"
        "async def story():\n"
        "    async with group() as processes:\n"
        "        child = await processes.start('c', ['sleeper'], pathlib.Path(sys.argv[1]), {})\n"
        "        print(child.process.pid, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(story())\n"
    )
    environment = {**os.environ, **module(tmp_path, SLEEPER)}
    with subprocess.Popen(
        [sys.executable, str(owner), str(tmp_path / "c.log")], env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        group_of = os.getpgid(child)
        process.kill()
        process.wait()
        await_gone([child, group_of])
