"""The README's own commands, as they stand there."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tessera.testing.gateway import Gateway

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```sh\n(?P<text># 1\. upload.*?)```", re.DOTALL)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the walk-through needs curl")


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


async def test_the_walk_through_of_the_readme_ends_with_a_picture(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    found = BLOCK.search((ROOT / "README.md").read_text())
    assert found is not None
    upload, generate, record, link, download = (step.strip() for step in found["text"].split("\n\n"))
    given = {"BASE": gateway.base_url, "KEY": gateway.test_key}

    async def run(step: str, pick: Callable[[Any], Any]) -> Any:
        return pick(json.loads(await shell(step, tmp_path, **given))["data"])

    given["FILE"] = await run(upload, lambda data: data["downloadUrl"])
    given["TASK"] = await run(generate, lambda data: data["taskId"])
    assert await run(generate, lambda data: data["taskId"]) == given["TASK"], (
        "the same Idempotency-Key is the same task"
    )
    for _ in range(100):
        data = await run(record, lambda data: data)
        if data["successFlag"] != 0:
            break
        await asyncio.sleep(0.1)
    assert data["status"] == "SUCCESS", data
    given["RESULT"] = data["response"]["resultUrls"][0]
    given["DIRECT"] = await run(link, lambda data: data)
    await shell(download, tmp_path, **given)
    assert (tmp_path / "winter.png").read_bytes().startswith(b"\x89PNG")
