"""Values that no honest client sends, in every field of every model: refused or understood, and nothing breaks."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from tests.unit.market_samples import EARLIER, GENERATING, PaperDesk, asset, minimal, task

from tessera.contract.catalog import Model
from tessera.dialects.market import family
from tessera.domain.errors import Invalid
from tessera.domain.task import Task
from tessera.kit.address import Policy, Refused, vet

HUGE = "9" * 400
TEXTS = (
    *("", " ", "\0", "0", "1e5", "inf", "nan", "-7", "1_0", "true", "a text with words in it", "x" * 70_000, EARLIER),
    *("00000000000000000001", "\u0663", "\u0663\u0663", "0.00000000000000000001", "5.", HUGE, f"-{HUGE}.5"),
    *("9" * 9999, "0" * 9999 + "8"),
    *("http://[", "http://\u2100.com", "http://a:99999999999/", "//", "data:,x", "http://\0", "file:///etc/passwd"),
)
NUMBERS = (-1, 0, 1e308, -1e308, 1e-301, 10**18, 2**63, msgspec.Raw(HUGE.encode()))
SHAPES: tuple[object, ...] = (None, True, [], [None], [[]], [{}], {}, {"": None}, msgspec.Raw(b"[" * 99 + b"]" * 99))
VALUES: tuple[object, ...] = (*TEXTS, *NUMBERS, *SHAPES)
FILM, PICTURE = asset("film.mp4", "video/mp4", seconds=8.0), asset("picture.png", "image/png")
MOST_CREDITS = 2**63 - 1


def earlier(model: Model) -> Task:
    if "mask_indexs" in model.fields:
        return task(operation="image.segment", model="grok-imagine-image-2-0/segment-map", outputs=(PICTURE,))
    return task(outputs=(FILM if model.output.kind == "video" else PICTURE,))


def planted(schema: Mapping[str, Any], value: object) -> Iterator[object]:
    """The value itself, in a list where there may be one, and in each field of an object."""
    yield value
    for each in (schema, *schema.get("anyOf", ())):
        for inner in planted(each["items"], value) if isinstance(each.get("items"), dict) else ():
            yield [inner]
        parts = each.get("properties", {})
        for name, part in parts.items():
            whole = {other: "x" if parts[other].get("type") == "string" else 1 for other in each.get("required", ())}
            yield from ({**whole, name: inner} for inner in planted(part, value))


@pytest.mark.parametrize("model", GENERATING, ids=lambda model: model.id)
async def test_no_value_of_any_field_does_more_than_be_refused(model: Model) -> None:
    desk, least, policy = PaperDesk(earlier(model)), minimal(model), Policy()
    understood = 0
    for name, schema in model.fields.items():
        for value in VALUES:
            for given in planted(schema, value):
                body = msgspec.json.encode({"model": model.id, "input": {**least, name: given}})
                try:
                    draft = await family.parse(body, desk)
                except Invalid as refused:
                    assert refused.field and str(refused)
                    continue
                understood += 1
                assert draft.price is not None and 0 <= draft.price < MOST_CREDITS
                for url in draft.urls.values():
                    try:
                        vet(url, policy)
                    except Refused as error:
                        assert str(error)
    assert understood
