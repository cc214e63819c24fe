"""The simulator of OpenAI Images refuses what the published description does not allow."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from PIL import Image

from tessera.testing.simulators.openai_images import Simulator

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(clock=lambda: NOW) as running:
        yield running


@pytest.fixture
async def http(sim: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {sim.key}"}) as session:
        yield session


GOOD = {"model": "gpt-image-2.6-flare", "prompt": "a cat"}

WRONG_JSON: list[tuple[dict[str, Any], int, str | None, str | None]] = [
    ({"model": "gpt-image-2"}, 400, "prompt", "missing_required_parameter"),
    ({**GOOD, "prompt": ""}, 400, "prompt", "invalid_value"),
    ({**GOOD, "prompt": None}, 400, "prompt", "invalid_value"),
    ({**GOOD, "prompt": "x" * 32_001}, 400, "prompt", "invalid_value"),
    ({**GOOD, "model": "gpt-image-1"}, 404, "model", "model_not_found"),
    ({**GOOD, "model": "dall-e-3"}, 404, "model", "model_not_found"),
    ({**GOOD, "n": 0}, 400, "n", "invalid_value"),
    ({**GOOD, "n": 11}, 400, "n", "invalid_value"),
    ({**GOOD, "n": "2"}, 400, "n", "invalid_value"),
    ({**GOOD, "n": True}, 400, "n", "invalid_value"),
    ({**GOOD, "size": "256x256x1"}, 400, "size", "invalid_value"),
    ({**GOOD, "size": "1000x1000"}, 400, "size", "invalid_value"),
    ({**GOOD, "size": "3072x1008"}, 400, "size", "invalid_value"),
    ({**GOOD, "size": "3856x2160"}, 400, "size", "invalid_value"),
    ({**GOOD, "size": [1024]}, 400, "size", "invalid_value"),
    ({"model": "gpt-image-1.5", "prompt": "a", "size": "1536x864"}, 400, "size", "invalid_value"),
    ({**GOOD, "response_format": "b64_json"}, 400, "response_format", "unknown_parameter"),
    ({**GOOD, "style": "vivid"}, 400, "style", "unknown_parameter"),
    ({**GOOD, "image": "x"}, 400, "image", "unknown_parameter"),
    ({**GOOD, "seed": 1}, 400, "seed", "unknown_parameter"),
    ({**GOOD, "input_fidelity": "high"}, 400, "input_fidelity", "unknown_parameter"),
    ({**GOOD, "quality": "hd"}, 400, "quality", "invalid_value"),
    ({"model": "gpt-image-2", "prompt": "a", "quality": "max"}, 400, "quality", "invalid_value"),
    ({**GOOD, "background": "transparent", "output_format": "jpeg"}, 400, "background", "invalid_value"),
    ({**GOOD, "output_compression": 50}, 400, "output_compression", "invalid_value"),
    ({**GOOD, "output_format": "svg"}, 400, "output_format", "invalid_value"),
]


@pytest.mark.parametrize(("body", "status", "param", "code"), WRONG_JSON)
async def test_it_refuses_a_wrong_generation(
    *,
    sim: Simulator,
    http: aiohttp.ClientSession,
    body: dict[str, Any],
    status: int,
    param: str | None,
    code: str | None,
) -> None:
    async with http.post(f"{sim.url}/images/generations", json=body) as answer:
        error = (await answer.json())["error"]
    assert (answer.status, error["param"], error["code"]) == (status, param, code)
    assert error.keys() == {"message", "type", "param", "code"}
    assert sim.book == []


@pytest.mark.parametrize(
    "more",
    [
        {"size": "auto", "quality": "max", "n": None},
        {"size": "2048x688", "output_format": "webp", "output_compression": 40},
        {"background": "transparent", "moderation": "low", "user": "a", "safety_identifier": "b"},
    ],
)
async def test_it_takes_what_is_allowed(sim: Simulator, http: aiohttp.ClientSession, more: dict[str, Any]) -> None:
    async with http.post(f"{sim.url}/images/generations", json={**GOOD, **more}) as answer:
        body = await answer.json()
    assert answer.status == 200, body
    assert body["created"] == int(NOW.timestamp())
    assert len(body["data"]) == len(sim.book) == 1


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/v1/images", {}, 404),
        ("POST", "/images/generations", {}, 404),
        ("GET", "/v1/images/generations", {}, 405),
        ("DELETE", "/v1/models", {}, 405),
        ("POST", "/v1/images/generations", {"Authorization": "Bearer sk-wrong"}, 401),
        ("POST", "/v1/images/generations", {"Authorization": "Basic abc"}, 401),
        ("POST", "/v1/images/generations", {"Content-Type": "text/plain"}, 400),
        ("POST", "/v1/images/edits", {"Content-Type": "application/json"}, 400),
        ("POST", "/v1/images/edits", {"Content-Type": "multipart/form-data; boundary=x"}, 400),
    ],
)
async def test_it_refuses_what_does_not_belong(
    *, sim: Simulator, http: aiohttp.ClientSession, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    url = sim.url.removesuffix("/v1") + path
    async with http.request(method, url, data=b"{}", headers=headers) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["message"]


def png(size: tuple[int, int] = (32, 32), mode: str = "RGB", kind: str = "PNG") -> bytes:
    out = BytesIO()
    Image.new(mode, size).save(out, kind)
    return out.getvalue()


Part = tuple[str, bytes | str, str]

WRONG_FORMS: list[tuple[str, list[Part], str]] = [
    ("no image", [], "image"),
    ("image twice", [("image", png(), "image/png"), ("image", png(), "image/png")], "image"),
    ("image and image[]", [("image", png(), "image/png"), ("image[]", png(), "image/png")], "image"),
    ("seventeen", [("image[]", png(), "image/png")] * 17, "image"),
    ("other file", [("image[]", png(), "image/png"), ("picture", png(), "image/png")], "picture"),
    ("text as image", [("image[]", "a picture of a cat", "")], "image"),
    ("moderation", [("image[]", png(), "image/png"), ("moderation", "low", "")], "moderation"),
    ("fidelity", [("image[]", png(), "image/png"), ("input_fidelity", "high", "")], "input_fidelity"),
    ("n in words", [("image[]", png(), "image/png"), ("n", "two", "")], "n"),
    ("prompt twice", [("image[]", png(), "image/png"), ("prompt", "again", "")], "prompt"),
    ("no picture", [("image[]", b"no picture", "image/png")], "image"),
    ("wrong label", [("image[]", png(kind="JPEG"), "image/png")], "image"),
    ("gif", [("image[]", png(kind="GIF"), "image/gif")], "image"),
    ("mask without alpha", [("image[]", png(), "image/png"), ("mask", png(), "image/png")], "mask"),
    (
        "mask of other size",
        [("image[]", png(), "image/png"), ("mask", png((16, 32), "RGBA"), "image/png")],
        "mask",
    ),
    (
        "mask as webp",
        [("image[]", png(), "image/png"), ("mask", png(mode="RGBA", kind="WEBP"), "image/webp")],
        "mask",
    ),
]


@pytest.mark.parametrize(("parts", "param"), [row[1:] for row in WRONG_FORMS], ids=[row[0] for row in WRONG_FORMS])
async def test_it_refuses_a_wrong_edit(
    sim: Simulator, http: aiohttp.ClientSession, parts: list[Part], param: str
) -> None:
    form = aiohttp.FormData({"prompt": "a cat", "model": "gpt-image-2"}, default_to_multipart=True)
    for name, content, media_type in parts:
        if isinstance(content, str):
            form.add_field(name, content)
        else:
            form.add_field(name, content, filename="f", content_type=media_type)
    async with http.post(f"{sim.url}/images/edits", data=form) as answer:
        error = (await answer.json())["error"]
    assert (answer.status, error["param"]) == (400, param), error
    assert sim.book == []


@pytest.mark.parametrize(("size", "status"), [(3_999_999, 200), (4_000_000, 400)])
async def test_a_mask_stays_below_4_megabytes(
    sim: Simulator, http: aiohttp.ClientSession, size: int, status: int
) -> None:
    mask = png(mode="RGBA")
    mask += b"\0" * (size - len(mask))  # readers stop at the end of the picture
    form = aiohttp.FormData({"prompt": "a cat"})
    form.add_field("image", png(), filename="f", content_type="image/png")
    form.add_field("mask", BytesIO(mask), filename="m", content_type="image/png")
    async with http.post(f"{sim.url}/images/edits", data=form) as answer:
        assert answer.status == status


async def test_it_lists_its_models(sim: Simulator, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{sim.url}/models") as answer:
        rows = (await answer.json())["data"]
    assert {"id": "gpt-image-1.5", "shutdown_date": "2026-12-01"}.items() <= rows[1].items()
    assert sim.posts == 0


async def test_the_same_request_is_drawn_the_same_and_billed_again(sim: Simulator, http: aiohttp.ClientSession) -> None:
    bodies = []
    for _ in range(2):
        headers = {"Idempotency-Key": "one-and-the-same"}
        async with http.post(f"{sim.url}/images/generations", json=GOOD, headers=headers) as answer:
            bodies.append(await answer.json())
    assert bodies[0] == bodies[1]
    assert sim.posts == len(sim.book) == 2, "nothing is promised about the header"


async def test_faults_come_in_the_order_of_the_script_and_spare_bad_requests(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    sim.fail_next(status=429, headers={"Retry-After": "3"})
    sim.fail_next("garbage")
    seen = []
    for body in [{}, GOOD, GOOD, GOOD]:
        async with http.post(f"{sim.url}/images/generations", json=body) as answer:
            seen.append((answer.status, answer.headers.get("Retry-After"), len(sim.book)))
    assert seen == [(400, None, 0), (429, "3", 0), (200, None, 1), (200, None, 2)]
