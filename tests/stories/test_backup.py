"""A gateway is backed up while it runs, its machine is lost, and it goes on somewhere else as if nothing had been."""

import base64
import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from tests.integration.test_cli import ask, one_sentence, record, serve, submit, tessera, told, until

from tessera.providers.fake import png

GENERATE = "/api/v1/gpt4o-image/generate"
DIRECT = "/api/v1/gpt4o-image/download-url"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's: another run of it closes its parent folder to the user that the embedded server runs as."""
    with tempfile.TemporaryDirectory(prefix="tessera-") as name:
        yield Path(name)


def fetch(url: str) -> str:
    """The SHA-256 of what a link leads to."""
    with urlopen(url, timeout=30) as response:
        return hashlib.sha256(response.read()).hexdigest()


def upload(url: str, data: bytes) -> str:
    body = {"base64Data": base64.b64encode(data).decode(), "uploadPath": "in", "fileName": "in.png"}
    return str(ask(url, "/api/file-base64-upload", body)["data"]["downloadUrl"])


def succeeded(url: str, task_id: str) -> dict[str, Any]:
    return dict(until("the picture", lambda: (r := record(url, task_id))["successFlag"] == 1 and r))


def direct(url: str, task_id: str, result: str) -> str:
    return str(ask(url, DIRECT, {"taskId": task_id, "url": result})["data"])


def checked(done: "subprocess.CompletedProcess[str]") -> dict[str, tuple[str, str]]:
    """What a doctor found, by its name: grade and text."""
    return {each["name"]: (each["grade"], each["text"]) for each in json.loads(done.stdout)["findings"]}


def test_a_gateway_outlives_its_machine(folder: Path) -> None:
    backup = folder / "gateway.tar.gz"
    with serve(folder, "--data-dir", "one", TESSERA_SANDBOX_SECONDS="0") as gateway:
        url, port = gateway.url, gateway.url.rpartition(":")[2]
        picture = upload(url, png(32, 32))
        body = {"prompt": "at night", "size": "1:1", "filesUrl": [picture]}
        task_id = str(ask(url, GENERATE, body)["data"]["taskId"])
        result = str(succeeded(url, task_id)["response"]["resultUrls"][0])
        link = direct(url, task_id, result)
        hashes = {each: fetch(each) for each in (picture, result, link)}
        before = record(url, task_id)
        balance = ask(url, "/api/v1/chat/credit")["data"]

        said = told(folder, "backup", str(backup), "--data-dir", "one")
        assert (said["files"], said["gone"], said["replaced"], said["rows"]["tasks"]) == (2, 0, 0, 1)
        assert one_sentence(tessera(folder, "backup", str(backup), "--data-dir", "one", "--json"), 1)
        later = str(submit(url)["data"]["taskId"])
        assert succeeded(url, later), "the backup has held nobody up"
        unset = {"TESSERA_BOOTSTRAP_TEST_KEY": "", "TESSERA_BOOTSTRAP_LIVE_KEY": ""}  # a doctor finds those weak
        examined = tessera(folder, "doctor", "--data-dir", "one", "--json", **unset)
        assert examined.returncode == 0, examined.stdout
        findings = checked(examined)
        assert findings["database"][0] == findings["storage"][0] == findings["schema"][0] == "good"
    shutil.rmtree(folder / "one")

    restored = told(folder, "restore", str(backup), "--data-dir", "two")
    assert {name: restored[name] for name in ("files", "rows", "schema")} == {
        name: said[name] for name in ("files", "rows", "schema")
    }
    with serve(folder, "--data-dir", "two", "--port", port, TESSERA_SANDBOX_SECONDS="0") as gateway:
        assert gateway.ready["first_start"] is None, "its keys are the old ones"
        assert record(url, task_id) == before
        assert ask(url, "/api/v1/chat/credit")["data"] == balance
        assert ask(url, f"/api/v1/gpt4o-image/record-info?taskId={later}")["code"] != 200, "it came after the backup"
        assert {each: fetch(each) for each in hashes} == hashes, "every old link leads to the same bytes"
        assert fetch(direct(url, task_id, result)) == hashes[result]
        assert succeeded(url, str(submit(url)["data"]["taskId"])), "and it goes on working"
        purses = told(folder, "credits", "show", "default", "--data-dir", "two")["purses"]
        assert all(purse["proven"] for purse in purses)


def test_a_backup_that_was_altered_is_refused_and_nothing_is_left_of_it(folder: Path) -> None:
    backup = folder / "gateway.tar.gz"
    told(folder, "accounts", "create", "anna", "--data-dir", "one")
    told(folder, "backup", str(backup), "--data-dir", "one")
    content = backup.read_bytes()
    for wrong in (content[:-9], content[:100] + b"?" + content[101:]):
        backup.write_bytes(wrong)
        line = one_sentence(tessera(folder, "restore", str(backup), "--data-dir", "two", "--json"), 1)
        assert "cannot be restored" in line
        assert not (folder / "two").exists()
    backup.write_bytes(content)
    taken = one_sentence(tessera(folder, "restore", str(backup), "--data-dir", "one", "--json"), 1)
    assert "not empty" in taken
    assert told(folder, "accounts", "list", "--data-dir", "one")[0]["name"] == "anna"


def test_another_database_is_left_to_its_own_tools(folder: Path) -> None:
    other = {"TESSERA_DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    assert "pg_dump" in one_sentence(tessera(folder, "backup", "b.tar.gz", "--json", **other), 2)
    assert "pg_restore" in one_sentence(tessera(folder, "restore", "b.tar.gz", "--json", **other), 2)
    assert "no gateway's data" in one_sentence(tessera(folder, "backup", "b.tar.gz", "--json"), 2)
    ill = tessera(folder, "doctor", "--json", TESSERA_SIGNING_KEY="x" * 40)
    assert (ill.returncode, checked(ill)["secrets"][0]) == (1, "bad")
    assert not list(folder.iterdir())
