"""The API pages: their commands are run, and answer what is printed below them."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tessera.dialects import registry
from tessera.domain.task import Mode
from tessera.providers.sandbox.directives import parse
from tessera.providers.sandbox.provider import MAKERS
from tessera.testing.gateway import Gateway
from tessera.testing.plugin import Passed
from tessera.testing.servers import Receiver

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()
FAMILIES = (ROOT / "docs" / "families.md").read_text()
EXAMPLE = re.compile(r"```sh\n(?P<command>.*?)```\n```json\n(?P<answer>.*?)```", re.DOTALL)
CALLBACK = re.compile(r"```json callback\n(?P<body>.*?)```", re.DOTALL)
CODE = re.compile(r"```python\n(?P<code>.*?)```", re.DOTALL)
BLOCK = re.compile(r"^```(?P<kind>sh|json)(?P<words>[ \w]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
"""What is behind the kind: ``when done`` waits for the end of one more task, ``callback`` is what is told at ``HOOK``,
``part`` is trimmed: there are more fields, but those that are printed are so."""

CHANGING = (
    (r"http://127\.0\.0\.1:\d+", "BASE"),
    (r"/files/[\w-]{22}/", "/files/TOKEN/"),
    (r"/s/[0-9a-f]{32}-[\d-]+_", "/s/ID-ATTEMPT_"),
    (r"[0-9a-f]{64}", "SHA256"),
    (r"[0-9a-f]{32}", "ID"),
    (r"([0-9a-f])[0-9a-f]{7}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", r"PART-\1"),
    (r"\d{13}-[0-9a-z]{11}", "RANDOM"),
    (r"kieai/[0-9a-f]{16}/", "kieai/ACCOUNT/"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{3})?Z?", "TIME"),
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


def trimmed(value: Any, printed: Any) -> Any:
    """A value without the fields that are not printed."""
    if isinstance(value, dict) and isinstance(printed, dict):
        return {name: trimmed(value[name], shown) for name, shown in printed.items() if name in value}
    if isinstance(value, list) and isinstance(printed, list) and len(value) == len(printed):
        return [trimmed(*pair) for pair in zip(value, printed, strict=True)]
    return value


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


async def test_every_command_answers_what_is_printed(gateway: Gateway, passed: Passed) -> None:
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


async def test_every_family_answers_and_tells_what_is_printed(
    gateway: Gateway, receiver: Receiver, passed: Passed
) -> None:
    check: dict[str, Any] = {}
    found = CODE.search(PAGE)
    assert found is not None
    exec(found["code"], check)
    ended = passed("run.finished")
    variables = {"BASE": gateway.base_url, "KEY": gateway.test_key, "HOOK": receiver.url}
    got: Any = None
    for block in BLOCK.finditer(FAMILIES):
        words = block["words"].split()
        if block["kind"] == "sh":
            if words == ["when", "done"]:
                await ended.next()
            got = json.loads(await shell(block["text"], variables))
            recall(variables, got)
            continue
        printed = json.loads(block["text"])
        if "callback" in words:
            told = await receiver.next()
            got = json.loads(told.body)
            assert check["signed_by_kie"](gateway.webhook_secret, told.headers, told.body), got
        shown = trimmed(got, printed) if "part" in words else got
        assert lasting(shown) == lasting(printed), f"{block['text']}\nbut it is\n{json.dumps(got, indent=2)}"


def recall(variables: dict[str, str], answer: Any) -> None:
    """What the page calls ``TASK``, ``FILM`` and ``FIRST``."""
    data = answer["data"]
    if isinstance(data, dict) and data.get("taskId") and answer["code"] == 200:
        variables["TASK"] = data["taskId"]
    film = re.search(r"http://[^\"\\]+\.mp4", json.dumps(answer))
    if film and "FILM" not in variables:
        variables |= {"FILM": film[0], "FIRST": variables["TASK"]}


def test_every_family_has_its_section() -> None:
    families = registry.discover()
    served = {route.operation.path for family in families.values() for route in family.routes}
    rows = re.findall(r"^\| \[(.*?)\]\(.*?\) \| `(/api/[\w/-]+)`", FAMILIES, re.MULTILINE)
    assert all(any(path.startswith(prefix) for path in served) for _, prefix in rows)
    own = {"4o images": "gpt4o-image", "Flux Kontext": "flux-kontext", "The Market": "market"}
    assert {own.get(name, name.lower()) for name, _ in rows} == set(families)
    for name, _ in rows:
        assert re.search(rf"^## {name}\b", PAGE + FAMILIES, re.MULTILINE), name


def test_the_page_of_providers_says_what_the_sandbox_makes_by_operation() -> None:
    page = (ROOT / "docs" / "providers.md").read_text()
    section = page.partition("## The sandbox")[2].partition("\n## ")[0]
    named = []
    for cell in re.findall(r"^\| (`\w+\.\w+`.*?) \|", section, re.MULTILINE):
        room = ""
        for kind, name in re.findall(r"`(\w*)\.(\w+)`", cell):
            room = kind or room
            named.append(f"{room}.{name}")
    assert sorted(named) == sorted(MAKERS)
    for example in re.findall(r"\[sandbox: .*?\]", section):
        parse(example)
