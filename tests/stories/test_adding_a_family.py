"""The page about adding a family is true: what it shows is run as an author outside of this package would run it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tessera.contract import catalog
from tessera.dialects import registry
from tessera.domain.errors import ConfigError
from tessera.testing.gateway import Gateway

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-family.md"

BLOCK = re.compile(r"^```python title=(?P<name>\S+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
TOML = re.compile(r"^```toml\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
SETTINGS = "[pytest]\nasyncio_mode = auto\naddopts = -p tessera.testing.plugin -q\n"


def blocks() -> dict[str, str]:
    return {found["name"]: found["text"] for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder that is what an installer makes of the page's files: the modules, and what their package announces."""
    for name, text in blocks().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    announced = TOML.search(PAGE.read_text(encoding="utf-8"))
    assert announced is not None
    group, line = announced["text"].strip().splitlines()
    known = tmp_path / "postcard-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: postcard\nVersion: 1.0\n")
    section = group.removeprefix("[project.entry-points.").removesuffix("]").strip('"')
    (known / "entry_points.txt").write_text(f"[{section}]\n{line.replace(chr(34), '')}\n")
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    return tmp_path


def test_the_page_shows_a_family_and_its_test() -> None:
    assert set(blocks()) == {"postcard.py", "test_postcard.py"}


def test_the_family_of_the_page_is_served_and_its_test_passes(package: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(package)}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "test_postcard.py"],
        cwd=package,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout


def test_two_families_of_one_path_are_refused_at_the_start(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = (package / "postcard.py").read_text().replace('name = "postcard"', 'name = "twin"')
    (package / "twin.py").write_text(twin)
    announced = package / "postcard-1.0.dist-info" / "entry_points.txt"
    announced.write_text(f"{announced.read_text()}twin = twin:family\n")
    monkeypatch.syspath_prepend(str(package))
    with pytest.raises(ConfigError, match="post /api/v1/postcard/send is served by 'postcard' and by 'twin'"):
        registry.discover()


async def test_the_model_of_the_page_is_listed_priced_and_made(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = re.search(r"^```json title=model\n(?P<text>.*?)^```$", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert shown is not None
    model = msgspec.json.decode(shown["text"], type=catalog.Model)
    more = {**catalog.models(), model.id: model}
    monkeypatch.setattr(catalog, "models", lambda: more)
    asked = {"model": model.id, "input": {"prompt": "Wish you were here"}}

    before = (await gateway.get("/api/v1/chat/credit"))["data"]
    made = await gateway.post("/api/v1/jobs/createTask", asked)
    assert made["code"] == 200, made
    record = await gateway.until(
        "/api/v1/jobs/recordInfo", made["data"]["taskId"], lambda data: data["state"] == "success"
    )
    assert "resultUrls" in record["resultJson"]
    assert before - (await gateway.get("/api/v1/chat/credit"))["data"] == 3
    assert (await gateway.get(f"/v1/models/{model.id}"))["data"]["title"] == "Acme Postcard"

    refused = await gateway.post("/api/v1/jobs/createTask", {**asked, "input": {}})
    assert (refused["code"], "input.prompt" in refused["msg"]) == (422, True)
