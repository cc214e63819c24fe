"""The README's own commands, as they stand there."""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tessera.testing.gateway import Gateway
from tessera.testing.servers import Receiver

ROOT = Path(__file__).parents[2]
SHELL = re.compile(r"```sh\n(?P<text>.*?)```", re.DOTALL)
BLOCK = re.compile(r"```sh\n(?P<text># 1\. upload.*?)```", re.DOTALL)


async def shell(command: str, cwd: Path, **variables: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-ec",
        command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, problem = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, problem.decode()
    return out.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the walk-through needs curl")
async def test_the_walk_through_of_the_readme_ends_with_a_picture_a_film_and_a_song(
    gateway: Gateway, receiver: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    found = BLOCK.search((ROOT / "README.md").read_text())
    assert found is not None
    upload, generate, record, link, download, film, song, records = (
        step.strip() for step in found["text"].split("\n\n")
    )
    given = {"BASE": gateway.base_url, "KEY": gateway.test_key, "HOOK": receiver.url}

    async def run(step: str, pick: Callable[[Any], Any]) -> Any:
        return pick(json.loads(await shell(step, tmp_path, **given))["data"])

    async def until(step: str, over: Callable[[Any], bool]) -> Any:
        for _ in range(200):
            if over(data := await run(step, lambda data: data)):
                return data
            await asyncio.sleep(0.1)
        raise AssertionError(f"not over: {data}")

    given["FILE"] = await run(upload, lambda data: data["downloadUrl"])
    given["TASK"] = await run(generate, lambda data: data["taskId"])
    assert await run(generate, lambda data: data["taskId"]) == given["TASK"], (
        "the same Idempotency-Key is the same task"
    )
    data = await until(record, lambda data: data["successFlag"] != 0)
    assert data["status"] == "SUCCESS", data
    given["RESULT"] = data["response"]["resultUrls"][0]
    given["DIRECT"] = await run(link, lambda data: data)
    await shell(download, tmp_path, **given)
    assert (tmp_path / "winter.png").read_bytes().startswith(b"\x89PNG")

    given["FILM"] = await run(film, lambda data: data["taskId"])
    given["SONG"] = await run(song, lambda data: data["taskId"])
    said, of_film, of_song = records.split("\n")
    assert said.startswith("# ")
    for stage in ("text", "first", "complete"):
        assert json.loads((await receiver.next()).body)["data"]["callbackType"] == stage
    data = await until(of_film, lambda data: data["successFlag"] != 0)
    assert data["response"]["resultUrls"][0].endswith(".mp4"), data
    data = await run(of_song, lambda data: data)
    assert [track["audioUrl"][-4:] for track in data["response"]["sunoData"]] == [".mp3", ".mp3"]


def lines() -> list[str]:
    """Every line of the README's shell blocks, without its comment."""
    blocks = SHELL.findall((ROOT / "README.md").read_text())
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]


def test_every_command_of_the_readme_can_be_typed_in_a_checkout() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    ours = [line.split() for line in lines() if "tessera" in line.split(" ")[0] or line.startswith("make")]
    assert len(ours) >= 9
    for program, *args in ours:
        assert program in {".venv/bin/tessera", "make"}, "`make setup` installs to .venv and changes no PATH"
        assert program != "make" or args[0] in targets


async def test_the_operators_commands_of_the_readme_run_as_written(gateway: Gateway, tmp_path: Path) -> None:
    # The doctor would rightly say that a database of tests is not durable.
    ends = re.compile(r"\.venv/bin/tessera (?!serve|doctor)")
    commands = [line for line in lines() if ends.match(line)]
    assert len(commands) >= 5
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    url = gateway.house.config.database_url
    assert url is not None
    said = [await shell(command, tmp_path, TESSERA_DATABASE_URL=url) for command in commands]
    assert any("acme has 1,000 live credits now" in each for each in said)
    assert any("tsk_live_" in each for each in said)
