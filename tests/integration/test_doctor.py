"""What ``tessera doctor`` finds, and what it advises."""

import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from tessera.cli import doctor
from tessera.db.migrate import head
from tessera.domain.finding import Finding, Grade
from tessera.engine import checkup
from tessera.providers.base import Manifest
from tessera.testing import s3_server
from tessera.testing.gateway import OpenHouse
from tessera.testing.plugin import MakeConfig
from tessera.wiring import House, examine


def by_name(findings: Sequence[Finding]) -> dict[str, Finding]:
    found = {finding.name: finding for finding in findings}
    assert len(found) == len(findings), "each part is named once"
    return found


async def test_a_gateway_that_is_well_has_nothing_red(open_house: OpenHouse) -> None:
    async with open_house(work=False) as house:
        found = by_name(await examine(house.config, {"OPENAI_API_KEY": "sk-1"}))
    red = {name: each.text for name, each in found.items() if each.grade is Grade.BAD}
    # The database of a test survives no power cut, and that is what a doctor is for.
    assert set(red) == {"durability"}
    assert found["schema"].text == head()
    assert found["storage"].text == "write, read and delete"
    assert found["provider openai"].grade is Grade.GOOD
    assert found["model gpt4o-image"].text == "runs on openai"
    assert not list((house.config.data_dir / "files").rglob("*.txt")), "it tidies up behind itself"


async def test_nothing_is_made_where_nothing_is(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(data_dir=tmp_path / "nowhere")
    found = by_name(await examine(config, {}))
    assert found["database"].grade is Grade.NOTE
    assert found["provider openai"] == Finding("provider openai", Grade.NOTE, "off", "set OPENAI_API_KEY to turn it on")
    assert found["model gpt4o-image"].next == "set OPENAI_API_KEY"
    assert not (tmp_path / "nowhere").exists()


async def test_a_database_that_does_not_answer_is_red_and_its_password_is_not_shown(make_config: MakeConfig) -> None:
    config = make_config(database_url="postgresql://anna:s3cretpassword@127.0.0.1:1/x")
    found = by_name(await examine(config, {}))
    assert found["database"].grade is Grade.BAD
    assert "s3cretpassword" not in str(found)
    assert found["database"].next


async def test_money_and_callbacks_that_went_wrong_are_red(open_house: OpenHouse) -> None:
    async with open_house(work=False) as house:
        await spoil(house)
        found = by_name(await examine(house.config, {}))
    assert found["ledger"].grade is Grade.BAD
    assert (found["callbacks"].grade, found["callbacks"].text) == (
        Grade.BAD,
        "3 of 4 of default have failed for good within a day",
    )
    assert found["callbacks"].next == "tessera webhooks list --state failed --account default"
    assert found["queue"].grade is Grade.BAD
    assert "due since 10 minutes" in found["queue"].text


async def spoil(house: House) -> None:
    run = house.database.pool.execute
    await run("UPDATE wallets SET balance = balance + 1 WHERE mode = 'live'")
    await run(
        """
        INSERT INTO deliveries (id, account_id, task_id, event, url, state, created_at)
        SELECT 'msg_' || n, (SELECT id FROM accounts), 't', 'task.failed', 'http://x', s, now()
        FROM unnest(array[1, 2, 3, 4], array['failed', 'failed', 'failed', 'delivered']) AS d (n, s)
        """
    )
    await run(
        """
        INSERT INTO pgqueuer (priority, entrypoint, status, payload, execute_after)
        VALUES (0, 'task', 'queued', 'x', now() - interval '10 minutes')
        """
    )


async def test_a_presigned_link_of_a_bucket_is_tried(make_config: MakeConfig, tmp_path: Path) -> None:
    with s3_server.serve(tmp_path) as server:
        settings = {
            "storage": "s3",
            "s3_bucket": server.bucket,
            "s3_endpoint": server.endpoint,
            "s3_access_key_id": server.access_key_id,
        }
        good = by_name(await examine(make_config(**settings, s3_secret_access_key=server.secret_access_key), {}))
        bad = by_name(await examine(make_config(**settings, s3_secret_access_key="not-the-secret-of-it"), {}))
    assert (good["storage"].grade, good["direct links"].grade) == (Grade.GOOD, Grade.GOOD)
    assert bad["storage"].grade is Grade.BAD


class Links:
    """A store that keeps one object and signs links to it."""

    def __init__(self) -> None:
        self.body = b""
        self.deleted = False

    async def put(self, key: str, source: Path, *, media_type: str) -> None:
        self.body = source.read_bytes()

    async def read(self, key: str) -> AsyncIterator[bytes]:
        yield self.body

    async def delete(self, keys: Sequence[str]) -> None:
        self.deleted = True

    def sign(self, key: str, *, expires: timedelta, now: object) -> str:
        return "https://bucket/link"


@pytest.mark.parametrize("kind", ["good", "other", "refused"])
async def test_a_link_that_brings_something_else_is_as_bad_as_none(tmp_path: Path, kind: str) -> None:
    store = Links()

    async def fetch(url: str) -> bytes:
        if kind == "refused":
            raise OSError("HTTP 403")
        return store.body if kind == "good" else b"<html>"

    found = by_name(await checkup.storage(store, tmp_path, fetch))  # type: ignore[arg-type]
    assert found["direct links"].grade is (Grade.GOOD if kind == "good" else Grade.BAD)
    assert store.deleted


@pytest.mark.parametrize(
    ("revision", "minimum", "grade"),
    [
        (None, None, Grade.NOTE),
        ("0001", None, Grade.NOTE),
        (head(), None, Grade.GOOD),
        (head(), head(), Grade.GOOD),
        ("9999", None, Grade.NOTE),
        ("9999", head(), Grade.NOTE),
        ("9999", "9998", Grade.BAD),
    ],
)
def test_a_schema_is_as_good_as_what_the_least_program_must_know(
    revision: str | None, minimum: str | None, grade: Grade
) -> None:
    assert checkup._schema(revision, minimum).grade is grade


@pytest.mark.parametrize(
    ("apart", "took", "grade"),
    [(0, 0, Grade.GOOD), (1.9, 0, Grade.GOOD), (2.5, 0, Grade.BAD), (2.5, 2, Grade.GOOD), (30, 5, Grade.BAD)],
)
def test_a_clock_is_wrong_only_by_what_the_question_did_not_take(apart: float, took: float, grade: Grade) -> None:
    assert checkup._clocks(timedelta(seconds=apart), timedelta(seconds=took)).grade is grade


def manifest(name: str, *models: str, environment: tuple[str, ...] = ()) -> tuple[str, Manifest]:
    kept = Manifest(
        name=name,
        title=name,
        operations=frozenset(),
        models=dict.fromkeys(models, "upstream"),
        environment=environment,
    )
    return name, kept


OFFERED = [
    manifest("sandbox", "*"),
    manifest("luma", "ray", environment=("LUMA_KEY",)),
    manifest("both", "ray", environment=("BOTH_ID", "BOTH_KEY")),
]


def test_an_endpoint_of_chat_models_names_the_variable_that_turns_it_on() -> None:
    on, off = checkup.chats({"anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY"}, {"ANTHROPIC_API_KEY": "k"})
    assert (on.grade, off.next) == (Grade.GOOD, "set GEMINI_API_KEY to turn it on")


@pytest.mark.parametrize(
    ("environ", "routes", "models", "expected"),
    [
        ({}, {}, {"ray"}, {"model ray": Grade.NOTE}),
        ({"LUMA_KEY": "1"}, {}, {"ray"}, {"model ray": Grade.GOOD}),
        ({"LUMA_KEY": "1"}, {"ray": ("luma:r2",)}, {"ray"}, {"model ray": Grade.GOOD}),
        ({}, {"ray": ("luma:r2",)}, {"ray"}, {"model ray": Grade.BAD}),
        ({}, {"ray": ("sandbox:x",)}, {"ray"}, {"model ray": Grade.BAD}),
        ({"LUMA_KEY": "1"}, {}, {"ray", *"abcdefgh"}, {"models of films": Grade.NOTE}),
    ],
)
def test_a_model_is_served_or_it_is_said(
    environ: Mapping[str, str],
    routes: Mapping[str, Sequence[str]],
    models: set[str],
    expected: Mapping[str, Grade],
) -> None:
    found = by_name(checkup.models(OFFERED, environ, routes, {"films": frozenset(models)}))
    assert {name: each.grade for name, each in found.items()} == expected


def test_of_many_models_it_is_said_how_many_can_run() -> None:
    models = {"films": frozenset({"ray", *"abcdefgh"})}
    (found,) = checkup.models(OFFERED, {"LUMA_KEY": "1"}, {}, models)
    assert found.text == "1 of 9 can run with live keys; test keys work for all"


def test_a_provider_that_is_off_names_the_variables_that_are_missing() -> None:
    found = by_name(checkup.providers(OFFERED, {"BOTH_ID": "1"}))
    assert found["provider both"].next == "set BOTH_KEY to turn it on"
    assert found["provider sandbox"].text == "on, for every model"


@pytest.mark.parametrize(
    ("settings", "grade"),
    [
        ({}, Grade.GOOD),
        ({"host": "0.0.0.0"}, Grade.NOTE),
        ({"public_url": "http://media.example"}, Grade.NOTE),
        ({"public_url": "https://media.example"}, Grade.GOOD),
        ({"trusted_proxies": "127.0.0.1"}, Grade.BAD),
        ({"trusted_proxies": "127.0.0.1", "public_url": "http://localhost:8787"}, Grade.BAD),
        ({"trusted_proxies": "127.0.0.1", "public_url": "https://media.example"}, Grade.GOOD),
    ],
)
def test_a_public_url_that_leads_nowhere_is_noticed(
    make_config: MakeConfig, settings: dict[str, object], grade: Grade
) -> None:
    assert doctor._public_url(make_config(**settings)).grade is grade


@pytest.mark.parametrize(
    ("settings", "red"),
    [
        ({}, False),
        ({"bootstrap_test_key": "tsk_test_" + "a" * 24}, True),
        ({"bootstrap_live_key": "tsk_live_0123456789abcdef01234567"}, False),
        ({"signing_key": "x" * 40}, True),
        ({"metrics_token": "0f1e2d3c4b5a69788796a5b4"}, False),
        ({"metrics_token": "changemechangeme"}, True),
    ],
)
def test_a_secret_that_was_typed_is_noticed_and_not_repeated(
    make_config: MakeConfig, settings: dict[str, str], red: bool
) -> None:
    (found,) = [each for each in doctor._settings(make_config(**settings)) if each.name == "secrets"]
    assert (found.grade is Grade.BAD) is red
    assert not any(value in found.text for value in settings.values())


@pytest.mark.parametrize(("mode", "grade"), [(0o700, Grade.GOOD), (0o750, Grade.BAD), (0o777, Grade.BAD)])
def test_a_database_folder_that_others_may_enter_is_red(tmp_path: Path, mode: int, grade: Grade) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    folder.chmod(mode)
    (found,) = doctor._postgres(folder)
    assert found.grade is grade
    assert stat.S_IMODE(folder.stat().st_mode) == mode, "it only looks"


async def test_a_check_that_fails_is_a_finding_itself() -> None:
    async def fail() -> list[Finding]:
        raise ValueError("two\nlines")

    assert await checkup.examined("part", fail(), "do this") == [
        Finding("part", Grade.BAD, "ValueError: two lines", "do this")
    ]
