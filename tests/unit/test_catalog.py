"""The catalog of the Market, held to itself: schemas, defaults, prices, and what is said of a wrong input."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest
from tests.unit.market_samples import CHATTING, GENERATING, HOST, minimal

from tessera.contract import catalog, market_price
from tessera.contract.catalog import CHAT, Model
from tessera.contract.decode import Mismatch
from tessera.contract.market_price import Asked

every = pytest.mark.parametrize("model", list(catalog.models().values()), ids=lambda model: model.id)
generating = pytest.mark.parametrize("model", GENERATING, ids=lambda model: model.id)

DERIVED = {"$videoInput", "$sourceResolution", "$tier", "$direction", "$output"}


def model(name: str) -> Model:
    found = catalog.find(name)
    assert found is not None
    return found


# ---- the data ----


def test_the_catalog_is_read_once_and_every_id_is_there_once() -> None:
    lines = json.loads(files("tessera.contract").joinpath("market-models.json").read_text())
    assert len(catalog.models()) == len(lines) == 210
    assert catalog.models() is catalog.models()
    assert {each.modality for each in CHATTING} == {CHAT}


def test_aliases_lead_to_their_model_and_hide_no_other() -> None:
    aliases = [alias for each in catalog.models().values() for alias in each.aliases]
    assert len(set(aliases)) == len(aliases) > 0
    assert not set(aliases) & set(catalog.models())
    assert model("custom_flux_kontext").id == "flux1-kontext"
    assert catalog.find("Z-Image") is None


@every
def test_every_schema_compiles_and_its_defaults_are_what_it_takes(model: Model) -> None:
    jsonschema_rs.meta.validate(model.input)
    jsonschema_rs.Draft202012Validator(catalog.widened(model))
    for name, schema in model.fields.items():
        if "default" in schema:
            assert jsonschema_rs.is_valid(dict(schema), schema["default"]), name


@generating
def test_every_fact_that_names_a_field_names_one_that_is_there(model: Model) -> None:
    named = {name for rate in model.credits.rates for name in rate.when} | set(model.credits.assume)
    named |= {rule.field for rule in model.output.count if rule.field}
    named |= {name for rule in model.output.count for name in rule.when}
    named |= {*model.roles, *model.accepts.values, *model.accepts.same}
    assert named <= {*model.fields, *DERIVED}
    assert not set(model.accepts.fields) & set(model.input["properties"])
    assert model.output.count[-1].when == {}
    if model.accepts.instead is not None:
        assert model.accepts.instead.model in catalog.models()


@generating
def test_the_least_input_is_taken_and_each_missing_field_is_named(model: Model) -> None:
    least = minimal(model)
    assert set(catalog.check(model, least)) == set(least)
    for name in model.input.get("required", ()):
        with pytest.raises(Mismatch) as refused:
            catalog.check(model, {key: value for key, value in least.items() if key != name})
        assert str(refused.value) == f"input.{name}: {name} is required"


# ---- prices ----


@generating
def test_every_model_has_a_price_for_its_least_input(model: Model) -> None:
    given = catalog.filled(model, catalog.check(model, minimal(model)))
    asked = Asked(input=given, outputs=market_price.outputs(model, given), seconds=5, characters=100)
    price = market_price.price(model, asked)
    assert price > 0 or model.id == "grok-imagine-image-2-0/segment-map"
    assert market_price.tariff(model).estimate == (model.credits.unit == "unknown")


@generating
def test_every_rate_can_be_reached(model: Model) -> None:
    """Each rate is the price of the input that it describes."""
    for rate in model.credits.rates:
        first = next(other for other in model.credits.rates if catalog.fits(other.when, rate.when, absent=False))
        assert first == rate or first.credits == rate.credits, rate


def test_what_is_paid_by_the_token_has_no_price_for_a_task() -> None:
    for each in CHATTING:
        with pytest.raises(ValueError, match="no price for a task"):
            market_price.price(each, Asked(input={}))


PRICES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("z-image", {}, {"outputs": 1}, "0.8"),
    ("nano-banana-pro", {"resolution": "4K"}, {}, "24"),
    ("nano-banana-pro", {"resolution": "2k"}, {}, "18"),
    ("gpt-image-2-text-to-image", {}, {}, "6"),  # left open: the first rate
    ("ideogram/v3-remix", {"rendering_speed": "QUALITY"}, {"outputs": 3}, "30"),
    ("happyhorse/text-to-video", {"resolution": "720p"}, {"seconds": 7}, "196"),
    ("wan/3-0-video", {"resolution": "480P"}, {"seconds": 10}, "80"),
    ("wan/2-6-text-to-video", {"resolution": "1080p", "duration": "10"}, {"seconds": 10}, "209.5"),
    ("runway", {"quality": "720p", "duration": 10}, {"seconds": 10}, "30"),
    ("kling-2.6/text-to-video", {"duration": "5", "sound": True}, {}, "110"),
    ("kling-3.0/motion-control", {"mode": "pro"}, {"seconds": 2}, "54"),
    ("bytedance/seedance-2", {"resolution": "720p"}, {"seconds": 5, "derived": {"$videoInput": False}}, "205"),
    (
        "bytedance/seedance-2",
        {"resolution": "720p"},
        {"seconds": 5, "input_seconds": 8, "derived": {"$videoInput": True}},
        "325",
    ),
    ("gemini-omni-video", {"resolution": "4k"}, {"derived": {"$videoInput": True}}, "252"),
    ("veo-3-1", {"resolution": "1080p"}, {}, "65"),
    ("elevenlabs/text-to-dialogue-v3", {}, {"characters": 1500}, "21"),
    ("elevenlabs/sound-effect-v2", {}, {"seconds": 10}, "2.4"),
    ("elevenlabs/speech-to-text", {}, {"seconds": 90}, "5.25"),
    ("qwen/image-edit", {}, {"megapixels": 2.0}, "10"),
    ("seedream/5-pro-image-to-image", {"quality": "high"}, {"images": 3}, "15"),
    ("seedream/5-pro-image-to-image", {"quality": "high"}, {"images": 1}, "14"),
    ("seedream/5-pro-layer-decomposition", {"size": "auto"}, {}, "7"),
    ("qwen3/image-to-image", {}, {"images": 2}, "5.8"),
    ("topaz/image-upscale", {"upscale_factor": "4"}, {}, "20"),
    ("grok-imagine-video-1-5-preview", {"resolution": "1080p"}, {"seconds": 2}, "9"),  # no row: the dearest
    ("grok-imagine/extend", {"extend_times": 10}, {"derived": {"$sourceResolution": "720p"}}, "45"),
    ("wan/2-6-flash-image-to-video", {}, {"seconds": 5}, "100"),  # an estimate
]


@pytest.mark.parametrize(("name", "given", "more", "credits"), PRICES)
def test_a_price_is_what_the_rules_say(
    name: str, given: Mapping[str, Any], more: Mapping[str, Any], credits: str
) -> None:
    assert f"{market_price.price(model(name), Asked(input=given, **more)).normalize():f}" == credits


COUNTS: list[tuple[str, dict[str, Any], int]] = [
    ("z-image", {}, 1),
    ("wan/2-7-image", {}, 4),
    ("wan/2-7-image", {"n": 2}, 2),
    ("wan/2-7-image", {"enable_sequential": True}, 12),
    ("wan/2-7-image", {"enable_sequential": True, "n": 7}, 7),
    ("ideogram/character", {"num_images": "3"}, 3),
    ("bytedance/seedream-v4-edit", {"max_images": 6}, 6),
    ("grok-imagine/text-to-image", {}, 6),
    ("grok-imagine/text-to-image", {"enable_pro": True}, 4),
    ("google/imagen4", {"num_images": "4"}, 4),
]


@pytest.mark.parametrize(("name", "given", "count"), COUNTS)
def test_how_many_results_there_will_be(name: str, given: Mapping[str, Any], count: int) -> None:
    assert market_price.outputs(model(name), given) == count


# ---- inputs ----

LENIENT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("happyhorse/text-to-video", {"prompt": "x", "duration": "7"}, {"prompt": "x", "duration": 7}),
    ("happyhorse/text-to-video", {"prompt": "x", "duration": 7.0}, {"prompt": "x", "duration": 7}),
    ("wan/2-6-text-to-video", {"prompt": "x", "duration": 10}, {"prompt": "x", "duration": "10"}),
    ("wan/2-6-text-to-video", {"prompt": "x", "duration": 10.0}, {"prompt": "x", "duration": "10"}),
    ("wan/2-6-text-to-video", {"prompt": 7}, {"prompt": "7"}),
    ("wan/2-6-text-to-video", {"prompt": "x", "multi_shots": "true"}, {"prompt": "x", "multi_shots": True}),
    ("bytedance/seedance-2", {"prompt": "cat", "first_frame_url": "", "reference_image_urls": []}, {"prompt": "cat"}),
    ("bytedance/seedance-2", {"prompt": "cat", "seed": None, "unheard_of": {"deep": [1]}}, {"prompt": "cat"}),
    ("happyhorse/image-to-video", {"image_urls ": ["https://a.test/1"]}, {"image_urls": ["https://a.test/1"]}),
    (
        "happyhorse/image-to-video",
        {"image_urls ": ["https://a.test/1"], "image_urls": ["https://a.test/2"]},
        {"image_urls": ["https://a.test/2"]},
    ),
    (
        "qwen2/image-edit",
        {"prompt": "x", "image_url": ["https://a.test/1"]},
        {"prompt": "x", "image_url": ["https://a.test/1"]},
    ),
    (
        "wan/2-2-a14b-text-to-video-turbo",
        {"prompt": "x", "resolution": "580p", "aspect_ratio": "auto"},
        {"prompt": "x", "resolution": "580p", "aspect_ratio": "auto"},
    ),
    (
        "kling-2.6/motion-control",
        {
            "input_urls": ["https://a.test/1"],
            "video_urls": ["https://a.test/2"],
            "character_orientation": "video",
            "mode": "pro",
        },
        {
            "input_urls": ["https://a.test/1"],
            "video_urls": ["https://a.test/2"],
            "character_orientation": "video",
            "mode": "1080p",
        },
    ),
    (
        "kling-3.0-omni/text-to-video",
        {"prompt": "x", "multi_prompt": [], "customize_multi_shots": False},
        {"prompt": "x", "customize_multi_shots": False},
    ),
    ("grok-imagine/image-to-video", {}, {}),
    ("grok-imagine/text-to-video", {"prompt": "x", "duration": "10"}, {"prompt": "x", "duration": 10}),
]


@pytest.mark.parametrize(("name", "given", "understood"), LENIENT)
def test_what_real_clients_send_is_understood(name: str, given: dict[str, Any], understood: dict[str, Any]) -> None:
    assert catalog.check(model(name), given) == understood


def test_defaults_are_filled_in_and_what_was_sent_wins() -> None:
    z = model("z-image")
    assert catalog.filled(z, {"prompt": "x"})["aspect_ratio"] == "1:1"
    assert catalog.filled(z, {"prompt": "x", "aspect_ratio": "4:3"})["aspect_ratio"] == "4:3"


URL = f"{HOST}/1.png"
KLING = {"prompt": "x", "image_urls": [URL]}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("z-image", {"aspect_ratio": "1:1"}, "input.prompt: prompt is required"),
    ("z-image", {"prompt": None, "aspect_ratio": "1:1"}, "input.prompt: prompt is required"),
    (
        "z-image",
        {"prompt": "x", "aspect_ratio": "2:1"},
        "input.aspect_ratio: must be one of 1:1, 4:3, 3:4, 16:9, 9:16",
    ),
    ("z-image", {"prompt": ["x"], "aspect_ratio": "1:1"}, "input.prompt: must be a string"),
    ("wan/2-7-text-to-video", {"prompt": "x" * 6000}, "input.prompt: at most 5000 characters, got 6000"),
    ("wan/2-7-text-to-video", {"prompt": "x", "duration": 1}, "input.duration: at least 2"),
    ("wan/2-7-text-to-video", {"prompt": "x", "duration": 16}, "input.duration: at most 15"),
    ("wan/2-7-text-to-video", {"prompt": "x", "duration": "long"}, "input.duration: must be a whole number"),
    ("wan/2-7-text-to-video", {"prompt": "x", "watermark": "yes"}, "input.watermark: must be true or false"),
    ("happyhorse/image-to-video", {"image_urls": URL}, "input.image_urls: must be a list"),
    ("happyhorse/image-to-video", {"image_urls": []}, "input.image_urls: image_urls is required"),
    ("happyhorse/image-to-video", {"image_urls": [URL, URL]}, "input.image_urls: at most 1 entries, got 2"),
    ("happyhorse/image-to-video", {"image_urls": [{}]}, "input.image_urls[0]: must be a string"),
    ("kling/v2-1-pro", {"prompt": "x", "image_url": ""}, "input.image_url: image_url is required"),
    (
        "elevenlabs/text-to-dialogue-v3",
        {"dialogue": [{"voice": "Rachel"}]},
        "input.dialogue[0].text: text is required",
    ),
    (
        "bytedance/seedance-2",
        {"prompt": "cat", "last_frame_url": URL},
        "input.first_frame_url: first_frame_url is required",
    ),
    ("bytedance/seedance-2", {"prompt": "cat", "duration": 3}, "input.duration: must be -1 or at least 4"),
    (
        "4o-image-api",
        {"size": "1:1"},
        "input: at least one of prompt, files_url, file_url is required",
    ),
    (
        "pixverse-v6/extend",
        {"prompt": "cat", "duration": 5, "quality": "720p", "taskId": "1", "video_url": URL},
        "input: exactly one of taskId, video_url is required",
    ),
    (
        "runway",
        {"prompt": "x", "duration": 10, "quality": "1080p"},
        "input: a duration of 10 is not available in 1080p",
    ),
    (
        "hailuo/2-3-image-to-video-pro",
        {"prompt": "x", "image_url": URL, "duration": "10", "resolution": "1080P"},
        "input: a duration of 10 is not available in 1080P",
    ),
    (
        "gpt-image-2-text-to-image",
        {"prompt": "x", "aspect_ratio": "1:1", "resolution": "4K"},
        "input: aspect_ratio 1:1 is not available in 4K",
    ),
    (
        "gpt-image-2-text-to-image",
        {"prompt": "x", "resolution": "2K"},
        "input.resolution: without an aspect_ratio other than auto the resolution is 1K",
    ),
    (
        "kling-3.0-omni/image-to-video",
        {**KLING, "customize_multi_shots": True},
        "input.multi_prompt: multi_prompt is required",
    ),
    (
        "kling-3.0-omni/image-to-video",
        {
            **KLING,
            "customize_multi_shots": True,
            "prefer_multi_shots": True,
            "multi_prompt": [{"prompt": "a", "duration": 2}],
        },
        "input: customize_multi_shots and prefer_multi_shots may not both be true",
    ),
    (
        "minimax-h3/text-to-video",
        {"prompt": "x", "aspect_ratio": "1:1", "duration": "99"},
        "input.duration: must be one of 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    ),
    (
        "minimax-h3/image-to-video",
        {"prompt": "x", "duration": 5, "first_frame_url": "ftp://a"},
        "input.first_frame_url: must be the address of a file",
    ),
]


@pytest.mark.parametrize(("name", "given", "words"), REFUSED)
def test_a_refusal_names_the_field_and_the_rule(name: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(Mismatch) as refused:
        catalog.check(model(name), given)
    assert str(refused.value) == words


def test_an_input_that_is_nested_too_deeply_is_refused_and_an_unknown_field_is_not_looked_into() -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    with pytest.raises(Mismatch):
        catalog.check(model("z-image"), {"prompt": deep, "aspect_ratio": "1:1"})
    assert "other" not in catalog.check(model("z-image"), {"prompt": "x", "aspect_ratio": "1:1", "other": deep})


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8", 8),
        (" 8 ", 8),
        ("+8", 8),
        ("-1", -1),
        ("007.50", 7.5),
        ("5.", 5),
        ("-0.5", -0.5),
        ("00000000000000000001", 1),
        ("0" * 9000 + "8", 8),
        ("9" * 400, int("9" * 400)),
        ("9" * 9000, int("9" * 400)),
        ("-" + "9" * 400 + ".5", -int("9" * 400)),
        ("0.1" + "0" * 9000, 0.1),
        ("1e5", None),
        ("inf", None),
        ("nan", None),
        ("1_0", None),
        ("", None),
        (".", None),
    ],
)
def test_a_number_that_comes_as_text_is_read_as_long_as_it_is(text: str, number: float | None) -> None:
    assert catalog.numeral(text) == number
