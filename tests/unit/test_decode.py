"""Complaints about bodies, in words that a person without Python reads."""

from typing import Annotated, Literal

import msgspec
import pytest

from tessera.contract.decode import Malformed, Mismatch, check, decode


class Picture(msgspec.Struct):
    url: str
    weight: float | None = None


class Order(msgspec.Struct, rename="camel"):
    """One field of every kind that the contract uses, or may use."""

    model_name: Literal["a-1", "b-2"]
    pictures: list[Picture] | None = None
    tags: list[str] | None = None
    count: Literal[1, 2, "1", "2"] | float | None = None
    size: int | None = None
    loud: bool | None = None
    note: str | int | None = None
    extra: dict[str, int] | None = None
    short: Annotated[str, msgspec.Meta(max_length=3)] | None = None
    main: Picture | None = None


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("{}", "modelName: is required"),
        ('{"modelName":"c"}', "modelName: must be one of a-1, b-2"),
        ('{"modelName":null}', "modelName: must be one of a-1, b-2"),
        ('{"modelName":"a-1","pictures":{}}', "pictures: must be a list"),
        ('{"modelName":"a-1","pictures":[{}]}', "pictures[0].url: is required"),
        ('{"modelName":"a-1","pictures":[{"url":"x"},{"url":1}]}', "pictures[1].url: must be a string"),
        ('{"modelName":"a-1","pictures":[{"url":"x","weight":"1"}]}', "pictures[0].weight: must be a number"),
        ('{"modelName":"a-1","pictures":[7]}', "pictures[0]: must be an object"),
        ('{"modelName":"a-1","tags":"x"}', "tags: must be a list of strings"),
        ('{"modelName":"a-1","tags":["x",1]}', "tags[1]: must be a string"),
        ('{"modelName":"a-1","count":"3"}', "count: must be one of 1, 2"),
        ('{"modelName":"a-1","count":[]}', "count: must be one of 1, 2"),
        ('{"modelName":"a-1","size":1.5}', "size: must be a whole number"),
        ('{"modelName":"a-1","loud":"yes"}', "loud: must be true or false"),
        ('{"modelName":"a-1","main":[]}', "main: must be an object"),
        ('{"modelName":"a-1","main":{"url":null}}', "main.url: must be a string"),
        ('{"modelName":"a-1","note":[]}', "note: must be a string or a whole number"),
        ('{"modelName":"a-1","extra":[]}', "extra: must be an object"),
        ('{"modelName":"a-1","extra":{"a":"b"}}', "extra[]: must be a whole number"),
        # A bound speaks for itself, without the decoder's marks.
        ('{"modelName":"a-1","short":"long"}', "short: expected str of length <= 3"),
    ],
)
def test_a_wrong_field_is_named_with_its_rule(body: str, complaint: str) -> None:
    with pytest.raises(Mismatch) as caught:
        decode(Order, body.encode())
    assert str(caught.value) == complaint
    assert complaint.startswith(f"{caught.value.field}: {caught.value.rule}")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "The request body is not valid JSON: it is empty"),
        (b" \n", "The request body is not valid JSON: it is empty"),
        (b'{"a"', "The request body is not valid JSON: it ends too early"),
        (b'{"modelName":"a-1"} {}', "The request body is not valid JSON: trailing characters (byte 21)"),
        (b'{"x":"\xff"}', "The request body is not valid JSON: it is not UTF-8 text"),
        (b'{"x":' + b"[" * 100_000, "The request body is nested too deeply"),
        (b"[]", "The request body must be a JSON object"),
        (b'"x"', "The request body must be a JSON object"),
        (b"null", "The request body must be a JSON object"),
    ],
)
def test_what_is_no_json_object_is_said_to_be_none(body: bytes, complaint: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode(Order, body)
    assert str(caught.value) == complaint


def test_a_sound_body_is_read() -> None:
    order = decode(Order, b'{"modelName":"b-2","unknown":[{}],"tags":[],"count":2.0,"modelName":"a-1"}')
    assert order == Order(model_name="a-1", tags=[], count=2.0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"x":1e400}', "The request body cannot be read: number out of range"),
        ('{"x":[{"y":-1e999}]}', "The request body cannot be read: number out of range"),
        (f'{{"x":{"1" * 5000}}}', "The request body cannot be read: integer value out of range"),
        (r'{"x":"\ud800"}', "The request body cannot be read: input data was truncated"),
        ("[" * 100_000 + "]" * 100_000, "The request body is nested too deeply"),
    ],
)
def test_what_nobody_could_read_again_is_found_in_unknown_fields_too(text: str, complaint: str) -> None:
    with pytest.raises(Malformed) as caught:
        check(text)
    assert str(caught.value) == complaint


@pytest.mark.parametrize("text", ['{"x":1e308}', '{"x":-0.0}', f'{{"x":{"1" * 400}}}', r'{"x":"\ud83d\ude00"}'])
def test_what_can_be_read_again_is_left_alone(text: str) -> None:
    check(text)
