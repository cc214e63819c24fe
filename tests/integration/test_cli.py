"""The command ``tessera`` as an operator meets it: real processes, a real embedded PostgreSQL, real signals."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import av
import pytest
from PIL import Image

from tessera.cli.logs import masker

TEST_KEY = "tsk_test_" + "a" * 24
LIVE_KEY = "tsk_live_" + "b" * 24
WEBHOOK_SECRET = "whsec_" + "QUJD" * 10
BOOTSTRAP = {
    "TESSERA_BOOTSTRAP_TEST_KEY": TEST_KEY,
    "TESSERA_BOOTSTRAP_LIVE_KEY": LIVE_KEY,
    "TESSERA_BOOTSTRAP_WEBHOOK_SECRET": WEBHOOK_SECRET,
    "TESSERA_DEQUEUE_SECONDS": "0.2",
}
INHERITED = ("HOME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "TMPDIR")
PATIENCE = 60.0


def environ(**more: str) -> dict[str, str]:
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | BOOTSTRAP | more


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "tessera.cli.main", *args]


def tessera(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself, with ``folder`` as its working directory."""
    return subprocess.run(
        command(*args), cwd=folder, env=environ(**env), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def told(folder: Path, *args: str, **env: str) -> Any:
    """What a command says with ``--json``."""
    done = tessera(folder, *args, "--json", **env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def one_sentence(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The complaint of a command that failed as it should: one line, no traceback, nothing on stdout."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    return line


@dataclass
class Running:
    """A command that runs until it is told to stop. ``ready`` is the line that it printed then."""

    process: subprocess.Popen[str]
    stderr: Path
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def log(self) -> str:
        return self.stderr.read_text()


@contextmanager
def running(folder: Path, *args: str, **env: str) -> Iterator[Running]:
    stderr = folder / f"{args[0]}-{time.monotonic_ns()}.log"
    with stderr.open("w") as errors:
        process = subprocess.Popen(
            command(*args), cwd=folder, env=environ(**env), stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, stderr.read_text()
        yield Running(process, stderr, json.loads(line) if "--json" in args else {"said": line})
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout is not None
        process.stdout.close()


def serve(folder: Path, *flags: str, **env: str) -> Any:
    return running(folder, "serve", "--port", "0", "--json", *flags, **env)


def ask(url: str, path: str, body: object = None, key: str = TEST_KEY) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url + path, data, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=30) as response:
            return dict(json.load(response))
    except HTTPError as error:
        with error:
            return dict(json.load(error))


def submit(url: str, prompt: str = "A lighthouse", key: str = TEST_KEY) -> dict[str, Any]:
    return ask(url, "/api/v1/gpt4o-image/generate", {"prompt": prompt, "size": "1:1"}, key)


def record(url: str, task_id: str) -> dict[str, Any]:
    return dict(ask(url, f"/api/v1/gpt4o-image/record-info?taskId={task_id}")["data"])


def until(what: str, check: Any) -> Any:
    """The first true answer of ``check``, which looks at another process: there is no event to wait for."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if answer := check():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def postgres(folder: Path) -> int:
    return int((folder / "data/postgres/postmaster.pid").read_text().split()[0])


# ---- the way in ----


def test_help_and_version_load_no_heavy_library(tmp_path: Path) -> None:
    program = "import sys, tessera.cli.main; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"aiohttp", "alembic", "asyncpg", "litestar", "obstore", "pgqueuer", "PIL", "sqlalchemy", "uvicorn"}
    assert not heavy & set(done.stdout.split())
    assert tessera(tmp_path, "--version").stdout.startswith("tessera 0.")


@pytest.mark.parametrize(
    ("args", "env", "words"),
    [
        (["serve"], {"TESSERA_PORT": "eighty"}, ['TESSERA_PORT is "eighty"', "whole number"]),
        (["serve"], {"TESSERA_PROT": "80"}, ["TESSERA_PROT, which is no setting", "TESSERA_PORT"]),
        (["serve", "--port", "70000"], {}, ["--port", "65,535"]),
        (["serve", "--config", "none.toml"], {}, ["none.toml cannot be read"]),
        (["serve"], {"TESSERA_STORAGE": "s3"}, ["TESSERA_S3_BUCKET"]),
        (["worker"], {"TESSERA_PORT": "0"}, ["TESSERA_PUBLIC_URL"]),
        (["keys", "list"], {"TESSERA_PORT": "eighty"}, ["TESSERA_PORT"]),
        (["serve", "--data-dir", "/dev/null/here"], {}, ["/dev/null/here", "cannot be used"]),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_sentence(
    tmp_path: Path, args: list[str], env: dict[str, str], words: list[str]
) -> None:
    line = one_sentence(tessera(tmp_path, *args, **env), 2)
    assert all(word in line for word in words), line
    assert not list(tmp_path.iterdir())


def test_settings_are_shown_with_their_origin_and_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "tessera.toml").write_text("drain_seconds = 7\n")
    done = tessera(tmp_path, "config", "--json", TESSERA_PORT="9000", TESSERA_SIGNING_KEY="s3cret" * 8)
    rows = {row["name"]: (row["value"], row["origin"]) for row in json.loads(done.stdout)}
    assert rows["port"] == ("9000", "environment")
    assert rows["drain_seconds"] == ("7", "tessera.toml")
    assert rows["host"] == ("127.0.0.1", "default")
    assert rows["signing_key"] == ("***", "environment")
    plain = tessera(tmp_path, "config", TESSERA_SIGNING_KEY="s3cret" * 8).stdout
    assert plain.startswith("setting\tvalue\tset by\nhost\t")
    assert "signing_key\t***\tenvironment" in plain
    assert "s3cret" not in plain + done.stdout


# ---- start ----


def test_the_first_start_shows_the_keys_and_the_second_does_not(tmp_path: Path) -> None:
    keys = (TEST_KEY, LIVE_KEY, WEBHOOK_SECRET)
    said = []
    for _ in range(2):
        with running(tmp_path, "serve", "--port", "0") as gateway:
            gateway.stop()
            assert gateway.process.stdout is not None
            said.append(gateway.ready["said"] + gateway.process.stdout.read())
    assert all(said[0].count(key) >= 1 for key in keys)
    assert "curl http://127.0.0.1:" in said[0]
    assert "is ready at http://127.0.0.1:" in said[0]
    assert "is ready at http://127.0.0.1:" in said[1]
    assert not any(key in said[1] for key in keys)


def test_a_first_start_that_fails_burns_no_keys(tmp_path: Path) -> None:
    program = """
from tessera import wiring
from tessera.cli.main import main
from tessera.domain.errors import StorageError
async def broken(house, secret):
    raise StorageError("The bucket is gone")
wiring.House._open_store = broken
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", "--port", "0"],
        cwd=tmp_path,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert not any(key in done.stdout for key in (TEST_KEY, LIVE_KEY, WEBHOOK_SECRET))
    assert done.stderr.splitlines()[-1] == "Error: The bucket is gone."
    assert not (tmp_path / "data/postgres/postmaster.pid").exists()
    with serve(tmp_path) as gateway:
        assert gateway.ready["first_start"]["test_key"] == TEST_KEY, "they are shown by the start that succeeds"


def test_a_script_learns_all_it_needs_from_one_line(tmp_path: Path) -> None:
    with serve(tmp_path) as gateway:
        assert gateway.ready["event"] == "ready"
        assert gateway.ready["pid"] == gateway.process.pid
        assert gateway.ready["providers"] == ["sandbox"]
        first = gateway.ready["first_start"]
        assert (first["test_key"], first["live_key"]) == (TEST_KEY, LIVE_KEY)
        assert first["webhook_secret"] == WEBHOOK_SECRET
        assert ask(gateway.url, "/api/v1/chat/credit")["data"] == 10_000
        assert ask(gateway.url, "/readyz")["ready"] is True
        assert submit(gateway.url, key=LIVE_KEY)["code"] == 505


def test_a_port_in_use_is_named_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = one_sentence(tessera(tmp_path, "serve", "--port", str(port)), 1)
    assert f"127.0.0.1:{port}" in line
    assert not list(tmp_path.iterdir())


def test_a_second_gateway_on_the_same_folder_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    with serve(tmp_path) as first:
        line = one_sentence(tessera(tmp_path, "serve", "--port", "0"), 1)
        assert str(first.process.pid) in line
        assert first.url in line
        assert ask(first.url, "/readyz")["ready"] is True
        first.process.kill()  # no farewell: the lock goes with the process
        first.process.wait(PATIENCE)
    with serve(tmp_path) as second:
        assert ask(second.url, "/readyz")["ready"] is True


def test_a_database_that_is_not_there_is_one_sentence_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: whoever connects is refused
        url = f"postgresql://tessera:pa55word@127.0.0.1:{unused.getsockname()[1]}/tessera"
        for args in (["serve", "--port", "0"], ["accounts", "list"]):
            done = tessera(tmp_path, *args, TESSERA_DATABASE_URL=url, TESSERA_LOG_LEVEL="error")
            line = one_sentence(done, 1)
            assert "TESSERA_DATABASE_URL" in line
            assert "pa55word" not in line


# ---- stop ----


def test_sigterm_hands_running_tasks_over_and_stops_the_embedded_database(tmp_path: Path) -> None:
    with serve(tmp_path, TESSERA_DRAIN_SECONDS="1") as gateway:
        task_id = submit(gateway.url, "A lighthouse [sandbox: delay=4s]")["data"]["taskId"]
        until("the task to run", lambda: float(record(gateway.url, task_id)["progress"]) > 0)
        database = postgres(tmp_path)
        assert alive(database)
        assert gateway.stop() == 0
        until("the database to end", lambda: not alive(database))
    with serve(tmp_path) as gateway:
        assert gateway.ready["first_start"] is None
        done = until("the task to end", lambda: record(gateway.url, task_id)["successFlag"])
        assert done == 1
        assert ask(gateway.url, "/api/v1/chat/credit")["data"] < 10_000


def test_a_request_under_way_is_answered_before_the_gateway_goes(tmp_path: Path) -> None:
    with serve(tmp_path) as gateway:
        host, port = gateway.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            body = b'{"prompt": "A lighthouse", "size": "1:1"}'
            head = (
                f"POST /api/v1/gpt4o-image/generate HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TEST_KEY}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode() + body[:10])
            # The server has to have read the head: only then is the request under way.
            until("the head to be read", lambda: _unread(int(port)) == 0)
            gateway.process.send_signal(signal.SIGTERM)
            until("the signal to be heard", lambda: "stopping" in gateway.log())
            connection.sendall(body[10:])
            answer = connection.recv(65536)
        assert b'"code":200' in answer
        assert gateway.process.wait(PATIENCE) == 0


def _unread(port: int) -> int:
    """Bytes that wait in the receive buffers of the connections to a port of this machine."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(line[4].split(":")[1], 16) for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "01")


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    with serve(tmp_path, TESSERA_DRAIN_SECONDS="300") as gateway:
        task_id = submit(gateway.url, "[sandbox: hang] A lighthouse")["data"]["taskId"]
        until("the task to run", lambda: float(record(gateway.url, task_id)["progress"]) > 0)
        gateway.process.send_signal(signal.SIGINT)
        until("the signal to be heard", lambda: "stopping" in gateway.log())
        began = time.monotonic()
        assert gateway.stop(signal.SIGINT) != 0
        assert time.monotonic() - began < 30


def test_log_lines_are_json_in_utc_and_show_no_key(tmp_path: Path) -> None:
    with serve(tmp_path, "--log-level", "debug") as gateway:
        task_id = submit(gateway.url, f"A lighthouse for {TEST_KEY}")["data"]["taskId"]
        until("the task to end", lambda: record(gateway.url, task_id)["successFlag"])
        gateway.stop()
        lines = [json.loads(line) for line in gateway.log().splitlines()]
    assert lines
    assert all(line["timestamp"].endswith("Z") and line["level"] and line["event"] for line in lines)
    assert TEST_KEY not in gateway.log()
    assert WEBHOOK_SECRET not in gateway.log()


def test_api_and_worker_are_the_gateway_in_two_processes(tmp_path: Path) -> None:
    with running(tmp_path, "api", "--port", "0", "--json") as api:
        task_id = submit(api.url)["data"]["taskId"]
        with running(tmp_path, "worker", "--json", "--public-url", api.url) as worker:
            assert worker.ready["first_start"] is None
            assert until("the task to end", lambda: record(api.url, task_id)["successFlag"]) == 1
            database = postgres(tmp_path)
            assert worker.stop() == 0
        assert alive(database)
        assert api.stop() == 0
    until("the database to end", lambda: not alive(database))


# ---- the operator's commands ----


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with a running gateway in it, and its URL."""
    folder = tmp_path_factory.mktemp("office")
    with serve(folder, TESSERA_RATE_LIMIT="0") as gateway:
        yield folder, gateway.url


def test_commands_work_where_no_gateway_runs_and_leave_no_database_behind(tmp_path: Path) -> None:
    done = tessera(tmp_path, "accounts", "create", "berta berg", "--data-dir", "data")
    assert "There was no gateway's data in data: it was made." in done.stdout
    assert "keys create --account 'berta berg' --data-dir data" in done.stdout
    made = told(tmp_path, "accounts", "create", "anna")
    assert made["webhook_secret"].startswith("whsec_")
    assert not (tmp_path / "data/postgres/postmaster.pid").exists()
    assert [account["name"] for account in told(tmp_path, "accounts", "list")] == ["berta berg", "anna"]
    shown = told(tmp_path, "accounts", "show", "anna")
    assert shown["credits"] == {"test": 10_000, "live": 0}
    assert shown["webhook_secret"] == "whsec_***"
    rotated = told(tmp_path, "accounts", "rotate-secret", "anna", "--overlap", "1h")
    assert rotated["webhook_secret"] not in (made["webhook_secret"], shown["webhook_secret"])
    assert told(tmp_path, "accounts", "show", "anna", "--secret")["webhook_secret"] == rotated["webhook_secret"]


@pytest.mark.parametrize(
    "args",
    [
        ["accounts", "list"],
        ["accounts", "show", "anna"],
        ["accounts", "rotate-secret", "anna"],
        ["keys", "list"],
        ["keys", "create"],
        ["keys", "revoke", "key_1"],
        ["credits", "show", "anna"],
        ["credits", "grant", "anna", "5"],
        ["webhooks", "list"],
        ["webhooks", "show", "msg_1"],
        ["webhooks", "redeliver", "msg_1"],
    ],
    ids=" ".join,
)
def test_a_mistyped_folder_does_not_become_a_database(tmp_path: Path, args: list[str]) -> None:
    line = one_sentence(tessera(tmp_path, *args, "--data-dir", "typo"), 2)
    assert line.startswith("Error: there is no gateway's data in typo: name its folder with --data-dir")
    assert not list(tmp_path.iterdir())


def test_without_a_mode_nothing_that_may_cost_money_is_touched(office: tuple[Path, str]) -> None:
    folder, _ = office
    told(folder, "accounts", "create", "dora")
    assert told(folder, "keys", "create", "--account", "dora")["mode"] == "test"
    assert told(folder, "credits", "grant", "dora", "5") == {
        "account": "dora",
        "mode": "test",
        "granted": 5,
        "balance": 10_005,
    }
    assert told(folder, "accounts", "show", "dora")["credits"] == {"test": 10_005, "live": 0}


def test_a_piped_table_begins_with_its_heads(office: tuple[Path, str]) -> None:
    folder, _ = office
    for args, heads in (
        (["accounts", "list"], "account name created"),
        (["webhooks", "list"], "delivery state since account event url"),
    ):
        first, *rows = tessera(folder, *args).stdout.splitlines()
        assert first.split("\t") == heads.split()
        assert all(row.count("\t") == first.count("\t") for row in rows)


def test_a_name_gives_the_terminal_no_orders_and_breaks_no_table(office: tuple[Path, str]) -> None:
    folder, _ = office
    key = told(folder, "keys", "create", "--name", "a\tb\x1b[2J")
    (row,) = (line for line in tessera(folder, "keys", "list").stdout.splitlines() if key["id"] in line)
    assert row.split("\t")[3] == "a\ufffdb\ufffd[2J"


def test_a_new_account_and_key_work_at_once_on_the_running_gateway(office: tuple[Path, str]) -> None:
    folder, url = office
    told(folder, "accounts", "create", "berta")
    made = told(folder, "keys", "create", "--account", "berta", "--name", "laptop")
    assert ask(url, "/api/v1/chat/credit", key=made["key"])["data"] == 10_000
    (listed,) = told(folder, "keys", "list", "--account", "berta")
    assert (listed["id"], listed["state"], listed["hint"]) == (made["id"], "active", made["key"][-4:])
    assert made["key"] not in json.dumps(listed)


def test_a_revoked_key_starts_nothing_more_and_reads_for_two_seconds_at_most(office: tuple[Path, str]) -> None:
    folder, url = office
    made = told(folder, "keys", "create", "--account", "default")
    assert submit(url, key=made["key"])["code"] == 200
    revoked = told(folder, "keys", "revoke", made["id"])
    at = time.monotonic()
    assert revoked["state"] == "revoked"
    assert submit(url, key=made["key"])["code"] == 401
    while ask(url, "/api/v1/chat/credit", key=made["key"])["code"] == 200:
        assert time.monotonic() - at < 3
    assert told(folder, "keys", "revoke", made["id"])["revoked_at"] == revoked["revoked_at"]


def test_the_limits_of_a_key_hold(office: tuple[Path, str]) -> None:
    folder, url = office
    capped = told(folder, "keys", "create", "--cap-total", "0.5", "--cap-hour", "7")
    assert capped["caps"] == {"hour": 7, "day": None, "total": 0.5}
    assert submit(url, key=capped["key"])["code"] == 433
    foreign = told(folder, "keys", "create", "--allow-ip", "10.0.0.0/8", "--allow-ip", "192.0.2.7")
    assert foreign["allow_ip"] == ["10.0.0.0/8", "192.0.2.7"]
    assert ask(url, "/api/v1/chat/credit", key=foreign["key"])["code"] == 401
    home = told(folder, "keys", "create", "--allow-ip", "127.0.0.0/8", "--expires", "30d")
    assert home["expires_at"] is not None
    assert ask(url, "/api/v1/chat/credit", key=home["key"])["code"] == 200


def test_credits_granted_are_on_the_ledger_and_the_balance_is_its_sum(office: tuple[Path, str]) -> None:
    folder, url = office
    told(folder, "accounts", "create", "clara")
    assert told(folder, "credits", "grant", "clara", "2.5", "--note", "thank you", "--mode", "live")["balance"] == 2.5
    assert told(folder, "credits", "grant", "clara", "-1", "--mode", "live")["balance"] == 1.5
    below = tessera(folder, "credits", "grant", "clara", "-2", "--mode", "live")
    assert "below zero" in one_sentence(below, 1)
    (purse,) = told(folder, "credits", "show", "clara", "--mode", "live")["purses"]
    assert (purse["balance"], purse["sum_of_entries"], purse["proven"]) == (1.5, 1.5, True)
    assert [(entry["amount"], entry["about"]) for entry in purse["entries"]] == [(-1, ""), (2.5, "thank you")]
    key = told(folder, "keys", "create", "--account", "clara", "--mode", "live")["key"]
    assert ask(url, "/api/v1/chat/credit", key=key)["data"] == 1.5
    plain = tessera(folder, "credits", "show", "clara").stdout
    assert "clara: 1.5 live credits  = sum of 2 entries" in plain
    assert "clara: 10,000 test credits  = sum of 1 entry" in plain


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["accounts", "show", "nobody"], "nobody"),
        (["accounts", "create", "default"], "already"),
        (["accounts", "create", " "], "name"),
        (["keys", "revoke", "key_none"], "key_none"),
        (["keys", "create", "--account", "nobody"], "nobody"),
        (["keys", "create", "--expires", "2001-01-01"], "future"),
        (["keys", "create", "--allow-ip", "10.0.0.0/99"], "10.0.0.0/99"),
        (["keys", "create", "--cap-day", "-1"], "negative"),
        (["credits", "show", "nobody"], "nobody"),
    ],
)
def test_a_refusal_is_one_sentence(office: tuple[Path, str], args: list[str], word: str) -> None:
    assert word in one_sentence(tessera(office[0], *args), 1)


@pytest.mark.parametrize(
    "args",
    [
        ["credits", "grant", "anna", "NaN"],
        ["credits", "grant", "anna", "1e99"],
        ["credits", "grant", "anna", "0.0001"],
        ["credits", "grant", "anna", "ten"],
        ["credits", "grant", "anna", "0"],
        ["keys", "create", "--cap-hour", "much"],
        ["keys", "create", "--expires", "soon"],
        ["keys", "create", "--expires", "30"],
        ["keys", "create", "--mode", "both"],
        ["accounts", "rotate-secret", "anna", "--overlap", "often"],
    ],
)
def test_a_value_that_cannot_be_read_is_refused_before_anything_is_opened(tmp_path: Path, args: list[str]) -> None:
    done = tessera(tmp_path, *args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert args[-1] in done.stderr
    assert not list(tmp_path.iterdir())


# ---- the demo ----


@pytest.fixture
def stage(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A working directory and an environment that a demo must not care for, and a folder for its temporary files."""
    for name in ("work", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "work/tessera.toml").write_text("nonsense = true\n")
    env = {"TESSERA_PORT": "nonsense", "OPENAI_API_KEY": "sk-none", "TMPDIR": str(tmp_path / "tmp")}
    return tmp_path, env


def opened(path: Path, kind: str) -> float:
    """Decode a film or a song whole; answers how many seconds it lasts."""
    with av.open(path, "r") as file:
        assert sum(1 for _ in file.decode(**{kind: 0})) > 90
        assert file.duration is not None
        return file.duration / av.time_base


def test_the_demo_leaves_pictures_a_film_and_a_song(stage: tuple[Path, dict[str, str]]) -> None:
    folder, env = stage
    done = tessera(folder / "work", "demo", **env)
    assert done.returncode == 0, done.stdout + done.stderr
    (url,) = re.findall(r"result URL: (\S+)", done.stdout)
    (again,) = re.findall(r"again: tessera (serve --data-dir demo-output/gateway --port [0-9]+) ", done.stdout)
    assert "X-Webhook-Signature: valid" in done.stdout
    assert "webhook-signature: valid; with a changed body: refused" in done.stdout
    assert "= ETag" in done.stdout
    assert "refused with 403" in done.stdout
    assert "good for 20 minutes" in done.stdout
    assert "callbacks: 5 to http" in done.stdout, "one of the picture, one of the film, three of the song"
    made = folder / "work/demo-output"
    sizes = []
    for name in ("harbour.png", "harbour-at-night.png"):
        with Image.open(made / name) as picture:
            picture.load()
            sizes.append(picture.size)
    assert sizes == [(768, 768), (1024, 1024)]
    assert opened(made / "harbour-at-night.mp4", "video") == pytest.approx(4, abs=0.1)
    assert opened(made / "harbour-at-night.mp4", "audio") == pytest.approx(4, abs=0.1)
    assert [opened(made / f"harbour-lights-{number}.mp3", "audio") > 15 for number in (1, 2)] == [True, True]
    assert not list((folder / "tmp").glob("tessera-demo-*"))
    (folder / "work/tessera.toml").unlink()
    with running(folder / "work", *again.split(), "--json"), urlopen(url, timeout=30) as picture:
        assert picture.read() == (made / "harbour-at-night.png").read_bytes()


def test_a_demo_on_an_older_gateway_makes_only_what_it_is_asked_for(stage: tuple[Path, dict[str, str]]) -> None:
    folder, env = stage
    with running(folder, "serve", "--port", "0", "--json", "--data-dir", "work/kept") as gateway:
        assert gateway.ready["first_start"] is not None, "its keys are shown, and never again"
    done = told(folder / "work", "demo", "--data-dir", "kept", "--only", "song", **env)
    assert set(done) == {"songs", "song_task", "song_urls", "data_dir", "again"}
    assert done["data_dir"] == str(folder / "work/kept")
    made = {path.name for path in (folder / "work/demo-output").iterdir()}
    assert made == {Path(path).name for path in done["songs"]} == {"harbour-lights-1.mp3", "harbour-lights-2.mp3"}


def test_a_demo_that_fails_says_why_and_stops_its_gateway(stage: tuple[Path, dict[str, str]]) -> None:
    folder, env = stage
    done = tessera(folder / "work", "demo", "--output", "/dev/null/here", **env)
    assert done.returncode == 1
    assert "/dev/null/here" in done.stderr
    assert "--output" in done.stderr
    assert not list((folder / "tmp").glob("tessera-demo-*"))


def test_a_demo_that_is_interrupted_stops_its_gateway(stage: tuple[Path, dict[str, str]]) -> None:
    folder, env = stage
    with running(folder / "work", "demo", **env) as demo:
        pidfile = folder / "work/demo-output/gateway/postgres/postmaster.pid"
        until("the database", pidfile.exists)
        lock = pidfile.parents[1] / "serve.lock"
        gateway = int(lock.read_text().split()[1].rstrip(","))
        database = int(pidfile.read_text().split()[0])
        assert alive(gateway)
        assert demo.stop() == 130
    until("the gateway to go", lambda: not alive(gateway) and not alive(database))
    assert not list((folder / "tmp").glob("tessera-demo-*"))


# ---- log lines ----


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"key {TEST_KEY} used", TEST_KEY),
        (f'{{"key": "{LIVE_KEY}", "next": 1}}', LIVE_KEY),
        (f"secret={WEBHOOK_SECRET}\x1b[0m", WEBHOOK_SECRET),
        ("Authorization: Bearer abc.def-123", "abc.def-123"),
        ("authorization='bearer   abc/def=='", "abc/def=="),
        ("GET /tessera/x.png?X-Amz-Signature=0011ff&a=1", "0011ff"),
        ("upstream said: bad key sk-proj-12345", "sk-proj-12345"),
    ],
)
def test_a_secret_is_masked_wherever_it_stands_in_a_line(text: str, secret: str) -> None:
    masked = masker(["sk-proj-12345", "short", ""])(text)
    assert secret not in masked
    assert "***" in masked
    for kept in ("used", '"next": 1', "\x1b[0m", "&a=1", "upstream said"):
        assert (kept in masked) == (kept in text)


def test_lines_of_libraries_and_tracebacks_take_the_same_form(tmp_path: Path) -> None:
    program = f"""
import logging, structlog, warnings
from tessera.cli import logs
from tessera.config import LogFormat, LogLevel
logs.setup(LogLevel.INFO, LogFormat.AUTO, secrets=["provider-key-1"])
structlog.contextvars.bind_contextvars(task="t1")
structlog.get_logger("ours").info("sent", header={{"a": ["Bearer {LIVE_KEY}"]}})
structlog.get_logger("ours").debug("too much")
logging.getLogger("theirs").warning("key %s", "provider-key-1")
logging.getLogger("uvicorn.error").info("noise")
warnings.warn("careful")
try:
    raise ValueError("{TEST_KEY}")
except ValueError:
    structlog.get_logger("ours").exception("failed")
"""
    done = subprocess.run([sys.executable, "-c", program], env=environ(), capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["logger"] for line in lines] == ["ours", "theirs", "py.warnings", "ours"]
    assert all(line["task"] == "t1" and line["timestamp"].endswith("Z") for line in lines)
    assert lines[1]["event"] == "key ***"
    assert "ValueError: tsk_test_***" in lines[3]["exception"]
    assert not any(secret in done.stderr for secret in (TEST_KEY, LIVE_KEY, "provider-key-1"))
