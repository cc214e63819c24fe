"""The API page: its commands are run, and answer what is printed below them."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tessera.domain.task import Mode
from tessera.testing.gateway import Gateway
from tessera.testing.servers import Receiver

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()
EXAMPLE = re.compile(r"```sh\n(?P<command>.*?)```\n```json\n(?P<answer>.*?)```", re.DOTALL)
CALLBACK = re.compile(r"```json callback\n(?P<body>.*?)```", re.DOTALL)
CODE = re.compile(r"```python\n(?P<code>.*?)```", re.DOTALL)

CHANGING = (
    (r"http://127\.0\.0\.1:\d+", "BASE"),
    (r"/files/[\w-]{22}/", "/files/TOKEN/"),
    (r"[0-9a-f]{64}", "SHA256"),
    (r"[0-9a-f]{32}", "ID"),
    (r"\d{13}-[0-9a-z]{11}", "RANDOM"),
    (r"kieai/[0-9a-f]{16}/", "kieai/ACCOUNT/"),
    (r"\d{4}-\d\d-\d\dT[\d:.]{12}Z", "TIME"),
    (r"\d{8}T\d{6}Z", "STAMP"),
    (r"TESSERA%2F\d{8}%2F", "TESSERA/DAY/"),
    (r"\b\d{13}\b", "0"),
)
"""What no two runs have in common."""

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the page shows curl")


async def shell(command: str, variables: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-ec",
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, problem = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, problem.decode()
    return out.decode()


def answers(text: str) -> Iterator[Any]:
    """The JSON values that stand in a text one after the other."""
    decoder = json.JSONDecoder()
    text = text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:].strip()


def lasting(values: object) -> Any:
    """What stays the same from run to run."""
    text = json.dumps(values)
    for pattern, word in CHANGING:
        text = re.sub(pattern, word, text)
    return json.loads(text)


def learn(variables: dict[str, str], answer: Any) -> None:
    """Names that later commands use for what earlier ones brought."""
    data = answer.get("data")
    if not isinstance(data, dict):
        return
    if "taskId" in data and "TASK" not in variables:
        variables["TASK"] = data["taskId"]
    if data.get("response"):
        variables["RESULT"] = data["response"]["resultUrls"][0]
    if "downloadUrl" in data:
        variables["FILE"] = data["downloadUrl"]


async def test_every_command_answers_what_is_printed(gateway: Gateway, passed: Any) -> None:
    ended = passed("run.finished")
    variables = {"BASE": gateway.base_url, "KEY": gateway.test_key, "LIVE_KEY": gateway.live_key}
    await gateway.house.accounts.grant((await gateway.house.accounts.all())[0], Mode.LIVE, 100_000)
    found = list(EXAMPLE.finditer(PAGE))
    assert len(found) >= 12
    for example in found:
        if "record-info?taskId=$TASK" in example["command"]:
            await ended.next()
        got = list(answers(await shell(example["command"], variables)))
        for answer in got:
            learn(variables, answer)
        assert lasting(got) == lasting(list(answers(example["answer"]))), example["command"]


async def test_the_printed_callbacks_are_the_ones_that_come(gateway: Gateway, receiver: Receiver) -> None:
    code: dict[str, Any] = {}
    found = CODE.search(PAGE)
    assert found is not None
    exec(found["code"], code)
    printed = [json.loads(each["body"]) for each in CALLBACK.finditer(PAGE)]
    assert len(printed) == 2
    for shown, prompt in zip(printed, ("A paper boat", "A paper boat [sandbox: fail=400]"), strict=True):
        body = {"prompt": prompt, "size": "1:1", "callBackUrl": receiver.url}
        await gateway.post("/api/v1/gpt4o-image/generate", body)
        told = await receiver.next()
        assert lasting(json.loads(told.body)) == lasting(shown)
        headers = {name: told.headers[name] for name in SIGNED}
        for check in (code["signed_by_kie"], code["signed_by_standard_webhooks"]):
            assert check(gateway.webhook_secret, headers, told.body)
            assert not check("whsec_b3RoZXI=", headers, told.body)


SIGNED = ("X-Webhook-Timestamp", "X-Webhook-Signature", "webhook-id", "webhook-timestamp", "webhook-signature")
