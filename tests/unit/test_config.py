"""The settings: precedence, refusals, secrets, and a reference page that cannot rot."""

import base64
import json
import pickle
import tomllib
import traceback
from dataclasses import FrozenInstanceError, asdict
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.config import (
    MASK,
    RESERVED,
    SETTINGS,
    Config,
    LogLevel,
    NetworkPolicy,
    RateLimit,
    SettingError,
    StorageKind,
    describe,
    load,
    parse_duration,
    parse_rate,
    parse_size,
    reference,
    show_duration,
    show_size,
    variable,
)

DOCS = Path(__file__).parents[2] / "docs"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BUCKET = {"storage": "s3", "s3_bucket": "b", "s3_endpoint": "https://s3.example", "s3_access_key_id": "id"}
SAMPLES: dict[str, str] = {
    "database_url": "postgresql://me:hunter2@db:5432/tessera",
    "s3_secret_access_key": "hunter2",
    "signing_key": "hunter2-" * 4,
    "bootstrap_test_key": "tsk_test_hunter2-abcdefgh",
    "bootstrap_live_key": "tsk_live_hunter2-abcdefgh",
    "bootstrap_webhook_secret": WEBHOOK_SECRET,
    "metrics_token": "hunter2-" * 4,
}
"""A good value for every secret."""


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tessera.toml that lies in the checkout is not ours to read."""
    monkeypatch.chdir(tmp_path)


def refusal(environ: dict[str, str], toml: Path | None = None, flags: dict[str, object] | None = None) -> str:
    with pytest.raises(SettingError) as caught:
        load(environ, toml, flags)
    return str(caught.value)


# ---- durations, sizes, rates ----


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("15s", 15), ("2m", 120), ("3h", 10_800), ("14d", 1_209_600), ("90s", 90), (" 5 S ", 5)],
)
def test_a_duration_is_a_number_and_a_unit(text: str | int, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1.5h", "1w", "1h30m", "٣s", "1e3", True, None, ["5s"], "9" * 12 + "d", "90", 90, "0"]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must "):
        parse_duration(text)


@given(st.integers(0, 10**13))
def test_a_duration_reads_back_as_it_was_shown(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(show_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        (1048576, 1_048_576),
        ("512B", 512),
        ("1kB", 1000),
        ("100MB", 100_000_000),
        ("10MiB", 10_485_760),
        ("25 mib", 26_214_400),
        ("1.5GB", 1_500_000_000),
        ("2TiB", 2**41),
    ],
)
def test_a_size_is_bytes_or_a_number_with_a_unit(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1.0001kB", "1XB", "1e6", "1_000", "٣MB", False, None, "9" * 400])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_size(text)


@given(st.integers(0, 10**14))
def test_a_size_reads_back_as_it_was_shown(size: int) -> None:
    assert parse_size(show_size(size)) == size


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20/10s", RateLimit(20, timedelta(seconds=10))),
        ("10000 / 1m", RateLimit(10_000, timedelta(minutes=1))),
        ("1/24h", RateLimit(1, timedelta(hours=24))),
        ("0", None),
        (0, None),
    ],
)
def test_a_rate_is_a_count_in_a_window(text: str | int, rate: RateLimit | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "20", "0/10s", "10001/10s", "20/0s", "20/25h", "20/10", "20/s", "-1/s", "20/10ms"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a count up to 10,000"):
        parse_rate(text)


# ---- values ----


def test_the_defaults_are_those_of_the_design() -> None:
    config = load({})
    assert config == Config()
    assert (config.host, config.port, config.data_dir) == ("127.0.0.1", 8787, Path("data"))
    assert config.rate_limit == RateLimit(20, timedelta(seconds=10))
    assert config.input_max_bytes == 26_214_400
    assert [wait.total_seconds() for wait in config.webhook_schedule] == [5, 30, 120, 600, 3600, 10800, 21600, 43200]
    assert (config.link_seconds, config.worker_concurrency, config.sandbox_seconds) == (1200, 10_000, 3.0)
    assert config.allow_private_networks is None
    assert config.database_url is None


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("port", "0", 0),
        ("log_level", "WARNING", LogLevel.WARNING),
        ("public_url", "HTTPS://Media.Example/Tiles/", "https://media.example/Tiles"),
        ("public_url", "http://[::1]:80/", "http://[::1]:80"),
        ("max_pixels", "2_000_000", 2_000_000),
        ("heartbeat_seconds", "0.5", 0.5),
        ("retention_uploads", "36h", timedelta(hours=36)),
        ("rate_limit", "0", None),
        ("s3_prefix", "/media/tessera/", "media/tessera"),
        ("resend_ambiguous", "Yes", True),
        ("allow_private_networks", "auto", None),
        ("allow_private_networks", "0", False),
        ("trusted_proxies", "10.0.0.0/8, ::1", (ip_network("10.0.0.0/8"), ip_network("::1"))),
        ("webhook_schedule", "1s", (timedelta(seconds=1),)),
        ("routes", '{"flux": ["bfl:flux-2", "fal:fal-ai/flux:dev"]}', {"flux": ("bfl:flux-2", "fal:fal-ai/flux:dev")}),
        *((name, text, text) for name, text in SAMPLES.items()),
    ],
)
def test_a_setting_is_read_from_its_variable(name: str, text: str, value: object) -> None:
    config = load({variable(name): f" {text} "})
    assert getattr(config, name) == value
    assert config.origins[name] == "environment"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("host", "a b"),
        ("host", "http://localhost"),
        ("port", "65536"),
        ("port", "-1"),
        ("port", "tcp://10.0.0.1:8787"),
        ("port", "9" * 5000),
        ("public_url", "media.example"),
        ("public_url", "ftp://media.example"),
        ("public_url", "https://media.example?x=1"),
        ("public_url", "https://media.example?"),
        ("public_url", "https://media.example#x"),
        ("public_url", "https://me:pw@media.example"),
        ("public_url", "https://media.example:99999"),
        ("public_url", "https://media .example"),
        ("public_url", "https://[::1"),
        ("public_url", "https:///path"),
        ("public_url", "https://:443"),
        ("public_url", "https://media.example/%20x"),
        ("public_url", "https://media.example:0"),
        ("data_dir", "a\0b"),
        ("log_level", "loud"),
        ("storage", "floppy"),
        ("s3_bucket", "a/b"),
        ("s3_prefix", "a/../b"),
        ("s3_prefix", "a//b"),
        ("link_seconds", "604801"),
        ("link_seconds", "20m"),
        ("upload_max_bytes", "1B"),
        ("retention_outputs", "1s"),
        ("heartbeat_seconds", "nan"),
        ("heartbeat_seconds", "inf"),
        ("resend_ambiguous", "perhaps"),
        ("allow_private_networks", "perhaps"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("webhook_schedule", ","),
        ("webhook_schedule", "0s"),
        ("webhook_schedule", "5,30s"),
        ("task_deadline", "90"),
        ("webhook_schedule", ",".join(["1s"] * 21)),
        ("routes", "{"),
        ("routes", "[]"),
        ("routes", '{"flux": []}'),
        ("routes", '{"": ["a:b"]}'),
        ("routes", '{"flux": ["no-model"]}'),
        ("routes", '{"flux": "bfl:flux"}'),
        ("bootstrap_test_credits", "-1"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_the_rule(name: str, text: str) -> None:
    message = refusal({variable(name): text})
    assert message.startswith(f"{variable(name)} is ")
    assert ", but it must " in message
    assert message.endswith(".")
    assert len(message) < 300


def test_the_refusal_is_one_sentence_that_says_all() -> None:
    assert refusal({"TESSERA_PORT": "70000"}) == (
        'TESSERA_PORT is "70000", but it must be a whole number from 0 to 65,535.'
    )


def test_a_duration_without_a_unit_is_answered_with_what_to_write(tmp_path: Path) -> None:
    assert refusal({"TESSERA_WEBHOOK_SCHEDULE": "5"}) == (
        'TESSERA_WEBHOOK_SCHEDULE is "5", but it must have a unit: write 5ms, 5s, 5m, 5h or 5d.'
    )
    toml = tmp_path / "mine.toml"
    toml.write_text("task_deadline = 90\n")
    assert "write 90ms, 90s, 90m, 90h or 90d" in refusal({}, toml)


def test_a_password_in_a_wrong_url_is_not_repeated() -> None:
    message = refusal({"TESSERA_PUBLIC_URL": "https://me:hunter2@media.example"})
    assert "hunter2" not in message
    assert f"https://{MASK}@media.example" in message


# ---- precedence ----


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    toml = tmp_path / "mine.toml"
    toml.write_text('host = "file"\nport = 1\ndatabase_pool = 7\n')
    config = load({"TESSERA_HOST": "env", "TESSERA_PORT": "2"}, toml, {"host": "flag", "data_dir": None})
    assert (config.host, config.port, config.database_pool, config.data_dir) == ("flag", 2, 7, Path("data"))
    assert [config.origins[name] for name in ("host", "port", "database_pool", "data_dir")] == [
        "command line",
        "environment",
        "tessera.toml",
        "default",
    ]


def test_every_setting_has_an_origin() -> None:
    assert set(load({}).origins) == set(SETTINGS)


def test_an_empty_variable_is_one_that_is_not_set(tmp_path: Path) -> None:
    toml = tmp_path / "t.toml"
    toml.write_text("port = 1\n")
    config = load({"TESSERA_PORT": "", "TESSERA_DATABASE_URL": " ", "TESSERA_CONFIG": ""}, toml)
    assert (config.port, config.origins["port"], config.database_url) == (1, "tessera.toml", None)


def test_the_file_of_the_working_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / "tessera.toml").write_text("port = 1\n")
    assert load({}).port == 1


def test_tessera_config_names_another_file(tmp_path: Path) -> None:
    (tmp_path / "tessera.toml").write_text("port = 1\n")
    (tmp_path / "other.toml").write_text("port = 2\n")
    assert load({"TESSERA_CONFIG": str(tmp_path / "other.toml")}).port == 2


def test_the_file_speaks_toml(tmp_path: Path) -> None:
    toml = tmp_path / "t.toml"
    toml.write_text(
        "sandbox_seconds = 0.5\nupload_max_bytes = 2048\nresend_ambiguous = true\nallow_private_networks = false\n"
        'webhook_schedule = ["1s", "2m"]\ntrusted_proxies = ["10.0.0.0/8"]\n[routes]\nflux = ["bfl:flux-2"]\n'
    )
    config = load({}, toml)
    assert (config.sandbox_seconds, config.upload_max_bytes, config.resend_ambiguous) == (0.5, 2048, True)
    assert config.allow_private_networks is False
    assert config.webhook_schedule == (timedelta(seconds=1), timedelta(minutes=2))
    assert config.trusted_proxies == (ip_network("10.0.0.0/8"),)
    assert config.routes == {"flux": ("bfl:flux-2",)}


@pytest.mark.parametrize(
    "line", ["port = true", "port = 1.5", "host = []", "sandbox_seconds = inf", "routes = 1", "port = 1979-05-27"]
)
def test_a_wrong_kind_of_value_in_the_file_is_refused(tmp_path: Path, line: str) -> None:
    toml = tmp_path / "t.toml"
    toml.write_text(line)
    assert refusal({}, toml).startswith(f"{line.split(maxsplit=1)[0]} in {toml} is ")


# ---- refusals of names and files ----


@pytest.mark.parametrize(
    ("key", "near"), [("TESSERA_PROT", "TESSERA_PORT"), ("TESSERA_WEBHOOK_TIMOUT", "WEBHOOK_TIMEOUT")]
)
def test_an_unknown_variable_is_refused_with_the_nearest_one(key: str, near: str) -> None:
    message = refusal({key: "1"})
    assert key in message
    assert f"{near}?" in message


def test_an_unknown_variable_that_resembles_nothing_is_refused() -> None:
    assert refusal({"TESSERA_QQQQQQQQQQQQ": "1"}) == "The environment sets TESSERA_QQQQQQQQQQQQ, which is no setting."


@pytest.mark.parametrize("key", sorted(RESERVED - {"TESSERA_CONFIG"}))
def test_the_variables_of_a_client_are_not_ours(key: str) -> None:
    assert load({key: "x", "PATH": "/bin", "OPENAI_API_KEY": "k"}) == Config()


def test_an_unknown_key_of_the_file_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    toml = tmp_path / "t.toml"
    toml.write_text('data-dir = "x"\n')
    assert refusal({}, toml) == f"{toml} sets data-dir, which is no setting; did you mean data_dir?"


def test_an_unknown_flag_is_refused() -> None:
    assert refusal({}, None, {"prot": 1}) == "--prot is no setting; did you mean port?"


@pytest.mark.parametrize("content", [b"port = \n", b"\xff\xfe", b"port = 1\nport = 2\n", b"port = " + b"9" * 5000])
def test_a_broken_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    toml = tmp_path / "t.toml"
    toml.write_bytes(content)
    assert str(toml) in refusal({}, toml)


def test_a_named_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "missing.toml"
    assert refusal({"TESSERA_CONFIG": str(path)}) == (
        f"The settings file {path} cannot be read: No such file or directory."
    )


# ---- settings that belong together ----


def test_a_bucket_needs_its_name_and_keys_at_once() -> None:
    assert refusal({"TESSERA_STORAGE": "s3"}) == (
        "TESSERA_STORAGE is s3, which also needs "
        "TESSERA_S3_BUCKET and TESSERA_S3_ACCESS_KEY_ID and TESSERA_S3_SECRET_ACCESS_KEY."
    )


def test_a_bucket_needs_to_be_somewhere() -> None:
    given_ = {variable(name): text for name, text in BUCKET.items() if name != "s3_endpoint"}
    given_["TESSERA_S3_SECRET_ACCESS_KEY"] = "hunter2"
    message = refusal(given_)
    assert "TESSERA_S3_REGION" in message
    assert "TESSERA_S3_ENDPOINT" in message
    assert load(given_ | {"TESSERA_S3_REGION": "eu-central-1"}).storage is StorageKind.S3


def test_records_outlive_their_files() -> None:
    message = refusal({"TESSERA_RETENTION_RECORDS": "13d"})
    assert "TESSERA_RETENTION_RECORDS is 13d" in message
    assert "TESSERA_RETENTION_OUTPUTS, which is 14d" in message


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:8787"),
        ({"host": "0.0.0.0", "port": "80"}, "http://127.0.0.1:80"),
        ({"host": "::"}, "http://[::1]:8787"),
        ({"host": "gateway"}, "http://gateway:8787"),
        ({"public_url": "https://media.example/"}, "https://media.example"),
    ],
)
def test_the_base_url_is_where_callers_reach_us(settings: dict[str, object], url: str) -> None:
    assert load({}, None, settings).base_url == url


@pytest.mark.parametrize(
    ("host", "private", "policy"),
    [
        ("127.0.0.1", "auto", NetworkPolicy(allow_loopback=True, allow_private=False)),
        ("127.1.2.3", "auto", NetworkPolicy(allow_loopback=True, allow_private=False)),
        ("localhost", "auto", NetworkPolicy(allow_loopback=True, allow_private=False)),
        ("::1", "auto", NetworkPolicy(allow_loopback=True, allow_private=False)),
        ("0.0.0.0", "auto", NetworkPolicy(allow_loopback=False, allow_private=False)),
        ("localhost.example", "auto", NetworkPolicy(allow_loopback=False, allow_private=False)),
        ("0.0.0.0", "true", NetworkPolicy(allow_loopback=True, allow_private=True)),
        ("127.0.0.1", "false", NetworkPolicy(allow_loopback=False, allow_private=False)),
    ],
)
def test_loopback_is_open_only_to_a_gateway_that_listens_there(host: str, private: str, policy: NetworkPolicy) -> None:
    assert load({"TESSERA_HOST": host, "TESSERA_ALLOW_PRIVATE_NETWORKS": private}).policy == policy


@pytest.mark.parametrize(
    ("more", "open_"),
    [
        ({"TESSERA_PUBLIC_URL": "https://media.example"}, False),
        ({"TESSERA_PUBLIC_URL": "http://10.0.0.5:8787"}, False),
        ({"TESSERA_TRUSTED_PROXIES": "127.0.0.1"}, False),
        ({"TESSERA_PUBLIC_URL": "http://localhost:9000"}, True),
        ({"TESSERA_PUBLIC_URL": "http://[::1]:9000/below"}, True),
        ({"TESSERA_PUBLIC_URL": "https://media.example", "TESSERA_ALLOW_PRIVATE_NETWORKS": "true"}, True),
    ],
)
def test_a_gateway_behind_a_proxy_of_its_own_machine_is_no_laptop(more: dict[str, str], open_: bool) -> None:
    assert load({"TESSERA_HOST": "127.0.0.1", **more}).policy.allow_loopback is open_


def test_a_provider_reads_its_settings_wherever_they_stood(tmp_path: Path) -> None:
    toml = tmp_path / "t.toml"
    toml.write_text("sandbox_seconds = 0.25\n")
    assert load({}, toml).provider_environ == {"TESSERA_SANDBOX_SECONDS": "0.25", "TESSERA_OPENAI_TIMEOUT": "300"}


def test_settings_do_not_change_and_can_be_sent_to_another_process() -> None:
    config = load({"TESSERA_ROUTES": '{"flux": ["bfl:flux-2"]}'})
    with pytest.raises(FrozenInstanceError):
        config.port = 1  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config


# ---- secrets ----


def test_the_secrets_are_these() -> None:
    assert {name for name, setting in SETTINGS.items() if setting.secret} == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_secret_is_neither_in_the_repr_nor_in_the_description(name: str) -> None:
    config = load({variable(name): SAMPLES[name]})
    assert SAMPLES[name] not in repr(config)
    row = next(row for row in describe(config) if row.name == name)
    assert (row.value, row.origin) == (MASK, "environment")
    assert SAMPLES[name] not in str(describe(config))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_wrong_secret_is_not_repeated_in_the_error(name: str, tmp_path: Path) -> None:
    wrong = "hunter\x00two"
    toml = tmp_path / "t.toml"
    toml.write_text(f"{name} = {json.dumps(wrong)}\n")
    with pytest.raises(SettingError) as caught:
        load({}, toml)
    assert "hunter" not in "".join(traceback.format_exception(caught.value))
    assert "but it must be" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bootstrap_test_key", "tsk_live_abcdefghijklmnop"),
        ("bootstrap_live_key", "tsk_test_abcdefghijklmnop"),
        ("bootstrap_test_key", "tsk_test_abcdefghijklmn"),
        ("bootstrap_test_key", "tsk_test_abcdefgh ijklmnop"),
        ("bootstrap_webhook_secret", "whsec_short"),
        ("bootstrap_webhook_secret", WEBHOOK_SECRET.removeprefix("whsec_")),
        ("bootstrap_webhook_secret", WEBHOOK_SECRET + "!"),
        ("bootstrap_webhook_secret", "whsec_é"),
        ("database_url", "mysql://db/tessera"),
        ("database_url", "postgresql://[db/tessera"),
        ("signing_key", "a" * 31),
    ],
)
def test_a_secret_of_the_wrong_form_is_refused(name: str, text: str) -> None:
    assert refusal({variable(name): text}).startswith(f"{variable(name)} is set to something that does not fit")


# ---- the description and the page ----


def test_every_setting_is_described_with_its_origin() -> None:
    rows = {row.name: row for row in describe(load({"TESSERA_PORT": "9000"}))}
    assert list(rows) == list(SETTINGS)
    assert (rows["port"].env, rows["port"].value, rows["port"].origin) == ("TESSERA_PORT", "9000", "environment")
    assert (rows["upload_max_bytes"].value, rows["retention_outputs"].value) == ("100MB", "14d")
    assert (rows["database_url"].value, rows["allow_private_networks"].value) == ("", "auto")


def test_a_description_can_be_written_as_json() -> None:
    rows: list[dict[str, Any]] = json.loads(json.dumps([asdict(row) for row in describe(load({}))]))
    assert {"name", "env", "value", "origin", "doc"} == set(rows[0])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rate_limit": "0", "webhook_schedule": "1s,90s,1h", "trusted_proxies": "10.0.0.0/8,::1/128"},
        {"rate_limit": "5/24h", "allow_private_networks": "true", "sandbox_seconds": "0.125", "storage": "local"},
        {"routes": '{"a":["b:c","d:e"]}', "public_url": "https://x.example/y/", "output_max_bytes": "1.5GiB"},
    ],
)
def test_what_is_shown_can_be_set(settings: dict[str, object]) -> None:
    config = load({}, None, settings)
    shown = {row.name: row.value for row in describe(config) if row.value}
    assert load({}, None, shown) == config


def test_the_settings_page_is_the_one_that_the_code_writes() -> None:
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == reference(), "the page is old: run `make docs`"


def test_the_example_of_the_page_is_a_good_file(tmp_path: Path) -> None:
    example = reference().split("```toml\n")[1].split("```")[0]
    toml = tmp_path / "t.toml"
    toml.write_text(example)
    assert load({}, toml).port == tomllib.loads(example)["port"]
