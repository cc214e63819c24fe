"""A whole run of a gateway, and then a search for every secret in every byte that left it.

The gateway is a process of its own, as an operator starts it: with a provider that echoes the key it was given, with
failures, refusals, crashes and a database that goes away. What is searched: both streams of every process, every answer
with its headers, every callback, what the provider was sent beside its own key, every row of the database, every file.
"""

import asyncio
import base64
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import asyncpg
import pytest
from tests.wire.desk import BASE64, BY_URL, COMMON, CREDIT, GENERATE, RECORD

from tessera import config
from tessera.db import dump
from tessera.testing.databases import Databases
from tessera.testing.servers import Receiver, receiving
from tessera.testing.simulators.openai_images import Simulator

SECRETS = {
    "OPENAI_API_KEY": "sk-proj-Zq7vHkXw0openaiSECRETa1b2c3d4e5f6g7h8",
    "TESSERA_S3_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYs3SECRETkey",
    "TESSERA_SIGNING_KEY": "signing/Q1w2E3r4T5y6U7i8O9p0SECRETabcdefgh",
    "TESSERA_METRICS_TOKEN": "metrics-M9n8B7v6C5x4SECRETz3",
    "TESSERA_BOOTSTRAP_TEST_KEY": "tsk_test_4f1cTESTSECRET0123456789abcdefabcdef",
    "TESSERA_BOOTSTRAP_LIVE_KEY": "tsk_live_9a7eLIVESECRET0123456789abcdefabcdef",
    "TESSERA_BOOTSTRAP_WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"webhookSECRET-0123456789abcdef").decode(),
}
PASSWORD = "pgPassWordSECRET42"
TEST_KEY, LIVE_KEY = SECRETS["TESSERA_BOOTSTRAP_TEST_KEY"], SECRETS["TESSERA_BOOTSTRAP_LIVE_KEY"]
WEBHOOK = SECRETS["TESSERA_BOOTSTRAP_WEBHOOK_SECRET"]
INHERITED = ("HOME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "TMPDIR")
PATIENCE = 40.0


def spellings(secret: str) -> set[bytes]:
    """How a secret may look: as it is, its beginning, escaped, within JSON, hex, Base64 at any of the three offsets."""
    raw = secret.encode()
    found = {raw, raw[:12], quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(), raw.hex().encode()}
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        core = text[4 if shift else 0 : -4]  # what does not depend on its neighbours
        found |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    if secret.startswith("whsec_"):
        found |= {base64.b64decode(secret[6:]), secret[6:].encode()}
    return found


def test_a_search_that_would_find_nothing_would_prove_nothing() -> None:
    secret = SECRETS["OPENAI_API_KEY"]
    for text in (secret, f"x{base64.b64encode(f'Basic ab:{secret}'.encode()).decode()}", quote(secret), secret[:12]):
        assert list(leaks({"there": text.encode()}, {"key": secret})), text
    assert not list(leaks({"there": b"sk-proj-another"}, {"key": secret}))


def leaks(heap: Mapping[str, bytes], secrets: Mapping[str, str]) -> Iterator[str]:
    for name, secret in secrets.items():
        for spelling in spellings(secret):
            for place, data in heap.items():
                at = data.find(spelling)
                if at >= 0:
                    yield f"{name} is in {place}: ...{data[max(0, at - 80) : at + 20]!r}..."


@dataclass
class Run:
    """The processes and the talk of one test. ``heap`` has all that came out, by where it came from."""

    folder: Path
    environ: dict[str, str]
    heap: dict[str, bytes] = field(default_factory=dict)
    url: str = ""

    def keep(self, place: str, data: bytes) -> None:
        self.heap[place] = self.heap.get(place, b"") + data

    async def start(self, *args: str, **more: str) -> asyncio.subprocess.Process:
        """A command with its streams in the heap, once it ends."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tessera.cli.main",
            *args,
            cwd=self.folder,
            env={**self.environ, **more},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def command(self, *args: str, **more: str) -> int:
        process = await self.start(*args, **more)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        self.keep(f"stdout of {' '.join(args)}", out)
        self.keep(f"stderr of {' '.join(args)}", err)
        return process.returncode or 0

    @asynccontextmanager
    async def serve(self, *args: str, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A gateway that is ready; its first line shows new keys by design and stays out of the heap."""
        process = await self.start("serve", "--port", "0", "--json", *args, **more)
        assert process.stdout is not None
        assert process.stderr is not None
        errors = asyncio.create_task(process.stderr.read())
        try:
            line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
            assert line, (await errors).decode()
            self.url = json.loads(line)["url"]
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            rest = await asyncio.wait_for(process.stdout.read(), PATIENCE)
            self.keep("stdout of serve", rest)
            self.keep("stderr of serve", await errors)
            await process.wait()

    async def ask(self, method: str, path: str, *, key: str | None = TEST_KEY, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = path if path.startswith("http") else self.url + path
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, url, headers=headers | more.pop("headers", {}), **more) as response,
        ):
            body = await response.read()
            head = "\n".join(f"{name}: {value}" for name, value in response.headers.items()).encode()
            self.keep(f"{method} {urlsplit(path).path[:60]} as {(key or 'nobody')[:9]}", head + b"\n\n" + body)
        try:
            return json.loads(body)
        except ValueError:
            return body

    async def ended(self, key: str, told: Receiver, **body: Any) -> Any:
        """A task of this key, once its callback has come; answers its record."""
        wire = {"prompt": "A paper boat", "size": "1:1", "callBackUrl": f"{told.url}/hook", **body}
        made = await self.ask("POST", GENERATE, key=key, json=wire)
        assert made["code"] == 200, made
        await told.inbox.next(PATIENCE)
        return (await self.ask("GET", RECORD, key=key, params=made["data"]))["data"]


ECHO = f"Incorrect API key provided: {SECRETS['OPENAI_API_KEY']}. You can find your API key at {{url}}."
FAULTS: list[dict[str, Any]] = [
    {"status": 401, "code": "invalid_api_key", "message": ECHO, "headers": {"x-echo": SECRETS["OPENAI_API_KEY"]}},
    {"status": 400, "message": f"Bearer {SECRETS['OPENAI_API_KEY']} may not", "param": SECRETS["OPENAI_API_KEY"]},
    {"status": 403, "body": f"<html>{SECRETS['OPENAI_API_KEY']}</html>"},
    {"status": 500, "message": ECHO, "headers": {"x-request-id": SECRETS["OPENAI_API_KEY"]}},
    {"status": 429, "message": ECHO, "headers": {"retry-after": "0"}},
    {"how": "garbage"},
    {"how": "drop"},
]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(key=SECRETS["OPENAI_API_KEY"]) as simulator:
        yield simulator


@pytest.fixture
async def run(postgres: Databases, tmp_path: Path, sim: Simulator) -> AsyncIterator[Run]:
    async with postgres.fresh() as url:
        parts = urlsplit(url)
        account = f"{parts.username}:{PASSWORD}@{parts.netloc.rpartition('@')[2]}"
        environ = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environ |= SECRETS | {
            "OPENAI_BASE_URL": sim.url,
            "TESSERA_DATABASE_URL": parts._replace(netloc=account).geturl(),
            "TESSERA_DATA_DIR": str(tmp_path / "data"),
            "TESSERA_LOG_LEVEL": "debug",
            "TESSERA_SANDBOX_SECONDS": "0",
            "TESSERA_DEQUEUE_SECONDS": "0.1",
            "TESSERA_WEBHOOK_SCHEDULE": "10ms",
            "TESSERA_DRAIN_SECONDS": "1",
            "TESSERA_RATE_LIMIT": "0",
            "TESSERA_ROUTES": '{"gpt4o-image": ["openai:gpt-image-2.6-flare"]}',
        }
        yield Run(tmp_path, environ)


async def test_no_secret_leaves_a_whole_run(run: Run, sim: Simulator) -> None:
    async with receiving() as told:
        await told_by_commands(run)
        async with run.serve():
            await good_days(run, told)
            await bad_days(run, told, sim)
            await rows(run)
            await lose_the_database(run)
        await bad_starts(run)
        for number, got in enumerate(told.inbox.seen):
            run.keep(f"callback {number}", repr(dict(got.headers)).encode() + got.body + got.path.encode())
    for call in sim.book:
        sent = {name: value for name, value in call.headers.items() if name != "authorization"}
        run.keep("what the provider was sent", repr((sent, call.fields)).encode())
    files(run)
    assert len(told.inbox.seen) > len(FAULTS)
    assert b"Traceback" in run.heap["stderr of serve"], "the run was too quiet to prove anything"
    # The secret that callbacks are signed with is kept readable: where the accounts are, and nowhere else.
    assert WEBHOOK.encode() in run.heap.pop("table accounts")
    found = list(leaks(run.heap, {**SECRETS, "the database's password": PASSWORD}))
    assert found == [], "\n".join(found)


async def told_by_commands(run: Run) -> None:
    """What an operator is shown."""
    await asyncio.gather(run.command("config"), run.command("config", "--json"), run.command("doctor"))


async def good_days(run: Run, told: Receiver) -> None:
    assert await run.command("credits", "grant", "default", "1000", "--mode", "live") == 0
    shown = (("keys", "list"), ("keys", "list", "--json"), ("accounts", "show", "default"))
    assert set(await asyncio.gather(*(run.command(*args) for args in shown))) == {0}
    for key in (TEST_KEY, LIVE_KEY):
        record = await run.ended(key, told)
        assert record["successFlag"] == 1, record
        url = record["response"]["resultUrls"][0]
        run.keep("links", url.encode())
        direct = (await run.ask("POST", COMMON, key=key, json={"url": url}))["data"]
        for link in (url, direct, f"{direct}x", f"{url}?key={'x' * 20}"):
            await run.ask("GET", link, key=None)
        await run.ask("GET", f"/v1/tasks/{record['taskId']}", key=key)
        deliveries = await run.ask("GET", "/v1/webhooks/deliveries", key=key, params={"taskId": record["taskId"]})
        await run.ask("GET", f"/v1/webhooks/deliveries/{deliveries['data'][0]['id']}", key=key)
    await run.ask("POST", BASE64, json={"base64Data": "SGVsbG8=", "uploadPath": "up"})
    for path in ("/readyz", "/healthz", "/openapi.json", "/no/such/path", CREDIT):
        await run.ask("GET", path)
    metrics = await run.ask("GET", "/metrics", key=SECRETS["TESSERA_METRICS_TOKEN"])
    assert b"tessera_tasks" in metrics


async def bad_days(run: Run, told: Receiver, sim: Simulator) -> None:
    for fault in FAULTS:
        sim.fail_next(**fault)
        record = await run.ended(LIVE_KEY, told)
        assert record["successFlag"] == (1 if fault.get("status") == 429 else 2), (fault, record)
    # keys where they do not belong
    for wrong in (TEST_KEY + "x", LIVE_KEY[:-1], SECRETS["OPENAI_API_KEY"], SECRETS["TESSERA_METRICS_TOKEN"], WEBHOOK):
        await run.ask("GET", CREDIT, key=wrong)
    for path in (f"/v1/tasks/{LIVE_KEY}", f"/files/{LIVE_KEY}/x", f"/tessera/{LIVE_KEY}", f"/{LIVE_KEY}"):
        await run.ask("GET", path)
    await run.ask("GET", CREDIT, key=None, params={"api_key": LIVE_KEY, "token": TEST_KEY})
    strange = {"X-Api-Key": LIVE_KEY, "Cookie": f"key={LIVE_KEY}", "User-Agent": LIVE_KEY, "Referer": LIVE_KEY}
    strange |= {"traceparent": LIVE_KEY, "X-Forwarded-For": LIVE_KEY, "X-Request-Id": LIVE_KEY, "Origin": LIVE_KEY}
    await run.ask("GET", CREDIT, key=None, headers={"Authorization": f"Basic {LIVE_KEY}", **strange})
    await run.ask("GET", CREDIT, headers=strange)
    await run.ask("POST", GENERATE, data=f'{{"prompt": "{LIVE_KEY}", "size": "{LIVE_KEY[:9]}'.encode())
    await run.ask("POST", GENERATE, json={"size": "1:1", "prompt": 5})
    await run.ask("POST", GENERATE, json={"size": "1:1", "prompt": "x", "callBackUrl": f"ftp://u:{LIVE_KEY}@x/"})
    await run.ask("POST", BY_URL, json={"fileUrl": f"http://user:{LIVE_KEY}@x.test/", "uploadPath": "up"})
    await run.ask("POST", BY_URL, json={"fileUrl": "http://127.0.0.1:1/x", "uploadPath": "up"})


async def rows(run: Run) -> None:
    """Every row of every table, as text."""
    connection = await asyncpg.connect(run.environ["TESSERA_DATABASE_URL"])
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert {"accounts", "api_keys", "tasks", "attempts", "deliveries"} <= {row["tablename"] for row in tables}
        for (table,) in tables:
            found = await connection.fetch(f'SELECT t::text FROM "{table}" t')
            run.keep(f"table {table}", "\n".join(row["t"] for row in found).encode())
    finally:
        await connection.close()


async def lose_the_database(run: Run) -> None:
    """Every part of the gateway now has something to complain about, at length."""
    name = urlsplit(run.environ["TESSERA_DATABASE_URL"]).path.strip("/")
    other = urlsplit(run.environ["TESSERA_DATABASE_URL"])._replace(path="/postgres").geturl()
    connection = await asyncpg.connect(other)
    try:
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        for path in (CREDIT, "/readyz", f"/v1/tasks/{LIVE_KEY}", f"/files/x/{LIVE_KEY}"):
            await run.ask("GET", path, key=LIVE_KEY)
        answer = await run.ask("POST", GENERATE, key=TEST_KEY, json={"prompt": "x", "size": "1:1"})
        assert answer == {"code": 500, "msg": "Server error", "data": None}
        await run.ask("GET", "/metrics", key=SECRETS["TESSERA_METRICS_TOKEN"])
    finally:
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await connection.close()


async def bad_starts(run: Run) -> None:
    """What a start says that cannot succeed."""
    gone = urlsplit(run.environ["TESSERA_DATABASE_URL"])._replace(path="/no_such_database").geturl()
    wrong = (
        {"TESSERA_DATABASE_URL": gone},
        {"TESSERA_DATABASE_URL": f"postgresql://u:{PASSWORD}@127.0.0.1:1/x"},
        {"OPENAI_BASE_URL": f"http://user:{SECRETS['OPENAI_API_KEY']}@127.0.0.1/v1"},
    )
    # Each in a folder of its own: the folder's lock would be the first thing to complain about.
    starts = (
        run.command("serve", "--port", "0", "--data-dir", str(run.folder / f"data-{number}"), **more)
        for number, more in enumerate(wrong)
    )
    assert 0 not in await asyncio.gather(*starts)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TESSERA_DATABASE_URL", f"mysql://u:{PASSWORD}@x/"),
        ("TESSERA_SIGNING_KEY", SECRETS["TESSERA_SIGNING_KEY"] + " with a space"),
        ("TESSERA_BOOTSTRAP_LIVE_KEY", TEST_KEY),
        ("TESSERA_BOOTSTRAP_WEBHOOK_SECRET", WEBHOOK[:-3]),
        ("TESSERA_METRICS_TOKEN", SECRETS["TESSERA_METRICS_TOKEN"] + "\t."),
        ("TESSERA_S3_SECRET_ACCESS_KEY", SECRETS["TESSERA_S3_SECRET_ACCESS_KEY"] + "\n!"),
        ("TESSERA_PUBLIC_URL", f"https://user:{PASSWORD}@media.example"),
    ],
)
def test_a_setting_that_does_not_fit_is_not_repeated(name: str, value: str) -> None:
    with pytest.raises(config.SettingError) as caught:
        config.load({name: value})
    text = "".join(traceback.format_exception(caught.value))
    assert name in text
    assert list(leaks({"the error": text.encode()}, {**SECRETS, "password": PASSWORD})) == []


@pytest.mark.parametrize(
    ("url", "bare", "password"),
    [
        ("postgresql://u:s%40cret@db:5432/x?sslmode=require", "postgresql://u@db:5432/x?sslmode=require", "s@cret"),
        ("postgres://u:secret@[::1]:5432/x", "postgres://u@[::1]:5432/x", "secret"),
        ("postgresql://u:secret@/x?host=/run/pg", "postgresql://u@/x?host=/run/pg", "secret"),
        ("postgresql://db/x?user=u&password=se%26cret&a=b", "postgresql://db/x?user=u&a=b", "se&cret"),
        ("postgresql://u@db/x", "postgresql://u@db/x", None),
        ("postgresql:///x?host=/run/pg", "postgresql:///x?host=/run/pg", None),
    ],
)
async def test_no_other_process_sees_the_databases_password(
    url: str, bare: str, password: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments are shown to everybody on a machine; the environment of a process is its owner's."""
    tool = tmp_path / "tool"
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\necho "$PGPASSWORD" > {tmp_path}/heard\n')
    tool.chmod(0o700)
    monkeypatch.setattr(dump, "tool", lambda name: tool)
    await dump.dump(url, "snapshot", tmp_path / "target")
    assert (tmp_path / "said").read_text().split()[0] == f"--dbname={bare}"
    assert (tmp_path / "heard").read_text().strip() == (password or "")


def test_a_config_shows_no_secret_in_any_way(tmp_path: Path) -> None:
    secret = {name: value for name, value in SECRETS.items() if name.startswith("TESSERA_")}
    loaded = config.load({**secret, "TESSERA_DATABASE_URL": f"postgresql://u:{PASSWORD}@db/x"})
    shown = f"{loaded!r} {loaded} {config.describe(loaded)}".encode()
    assert list(leaks({"the config": shown}, {**SECRETS, "password": PASSWORD})) == []


def files(run: Run) -> None:
    for path in (run.folder / "data").rglob("*"):
        if path.is_file():
            run.keep(f"file {path.name}", path.name.encode() + path.read_bytes())
