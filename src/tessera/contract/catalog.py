"""The Market's models as data: what each takes, what it answers with, what it costs.

The facts lie beside this file in ``market-models.json``, one model a line. They are read once, at the first question.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs
import msgspec

from tessera.contract.decode import Mismatch
from tessera.contract.market_words import complaint

Json = Any
Schema = Mapping[str, Any]
Conditions = Mapping[str, str | bool | int | float]
"""Values by the name of their field. A name that begins with ``$`` is no field but derived, see ``market_price``."""

CHAT = "chat"


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many results: what ``field`` says where it is there, else ``count``."""

    count: int
    field: str | None = None
    when: Conditions = {}


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a model makes, and where it lies in ``resultJson``. Of several counts the first that fits."""

    kind: str
    count: tuple[Count, ...]
    place: str = msgspec.field(name="in")
    also: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    result: str | None = None
    streaming: str | None = None
    evidence: str | None = None
    inferred: bool = False


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    credits: float
    when: Conditions = {}


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """What costs on top: ``credits`` for each ``per``, of which some may be free, or a part of what input costs."""

    per: str
    credits: float = 0
    factor_of_input: float | None = None
    first_free: int = 0


class Credits(msgspec.Struct, frozen=True, kw_only=True):
    """Price rules in credits. ``unit`` says what a rate is multiplied by; of several rates the first that fits.

    ``input_seconds`` says that the seconds of a source clip are counted, too; ``assume`` is what holds for a derived
    value that a request cannot say; ``estimate`` that no price was ever published, and this one is ours.
    """

    unit: str
    rates: tuple[Rate, ...] = ()
    extra: tuple[Extra, ...] = ()
    as_of: str | None = None
    basis: str | None = None
    note: str | None = None
    input_seconds: bool = False
    assume: Conditions = {}
    inferred: bool = False
    estimate: bool = False


class Instead(msgspec.Struct, frozen=True, kw_only=True):
    """An input that has ``field`` is for another model."""

    field: str
    model: str


class Accepts(msgspec.Struct, frozen=True, kw_only=True):
    """What real clients send beyond the schema: more values, more fields, other words for the same value."""

    values: Mapping[str, tuple[str, ...]] = {}
    fields: Mapping[str, Schema] = {}
    same: Mapping[str, Mapping[str, str]] = {}
    instead: Instead | None = None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a chat model answers."""

    path: str
    protocol: str
    also: tuple[str, ...] = ()


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model. ``input`` is a JSON Schema; ``roles`` says what a picture is for where its name does not."""

    id: str
    family: str
    vendor: str
    title: str
    modality: str
    status: str
    input: dict[str, Any]
    output: Output
    credits: Credits
    source: str
    as_of: str
    modalities: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    operation: str | None = None
    roles: Mapping[str, str] = {}
    endpoint: Endpoint | None = None
    accepts: Accepts = Accepts()
    rules: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    inferred: bool = False

    @property
    def fields(self) -> Mapping[str, Schema]:
        """The schemas of the input's fields, those of older pages among them."""
        documented: Mapping[str, Schema] = self.input.get("properties", {})
        return {**documented, **self.accepts.fields} if self.accepts.fields else documented


@cache
def models() -> Mapping[str, Model]:
    """All models by id, in the order of the catalog."""
    data = files("tessera.contract").joinpath("market-models.json").read_bytes()
    return {model.id: model for model in msgspec.json.decode(data, type=list[Model])}


@cache
def _aliases() -> Mapping[str, str]:
    return {alias: model.id for model in models().values() for alias in model.aliases}


def find(name: str) -> Model | None:
    """The model of this id or alias, in exact spelling."""
    return models().get(_aliases().get(name, name))


# ---- input ----

EMPTY = re.compile(
    r"(url|urls|image|images|input|video|voice|frame|clip|references|elements|list|prompts?_id|ids?|Id)$"
)
"""Fields of media and ids: empty ones count as absent, as real clients send them."""

NUMBER = re.compile(r"([+-]?)(\d+)(\.\d*)?")
EXACT = 18
DIGITS = 400
"""So many digits of a number that comes as text are read: no bound is as large, and a bound is all they can break."""

TRUTH = {"true": True, "false": False}


def check(model: Model, given: Mapping[str, Json]) -> dict[str, Json]:
    """The known fields of an input, read leniently: a number may come as text, text as a number, empty media as none.

    Raises Mismatch with the path of the field (``input.image_urls[0]``) and the rule.
    """
    try:
        sent = dict(_known(model, given))
        errors = list(_validator(model.id).iter_errors(sent))
    except (ValueError, RecursionError) as error:  # deeper than the validator goes
        raise Mismatch("input", "is nested too deeply") from error
    if errors:
        raise complaint(model.input, errors)
    return sent


def filled(model: Model, sent: Mapping[str, Json]) -> dict[str, Json]:
    """A checked input with the documented defaults of what is absent."""
    defaults = {name: schema["default"] for name, schema in model.fields.items() if "default" in schema}
    return {**defaults, **sent}


def fits(when: Conditions, values: Mapping[str, Json], *, absent: bool = False) -> bool:
    """Whether the values are those of a condition; ``absent`` answers for a value that is not there."""
    return all(same(values[name], wanted) if name in values else absent for name, wanted in when.items())


def same(one: Json, other: Json) -> bool:
    """Whether two values say the same: 5 and "5", 480P and 480p."""
    return _word(one) == _word(other)


def _word(value: Json) -> str:
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).casefold()


@cache
def _validator(model_id: str) -> jsonschema_rs.Draft202012Validator:
    """Compiled at the first request for a model."""
    return jsonschema_rs.Draft202012Validator(widened(models()[model_id]))


def widened(model: Model) -> dict[str, Any]:
    """The schema with what is accepted beyond it."""
    properties = {name: _more(schema, model.accepts.values.get(name, ())) for name, schema in model.fields.items()}
    return {**model.input, "properties": properties}


def _more(schema: Schema, values: Sequence[str]) -> Schema:
    return {**schema, "enum": [*schema["enum"], *values]} if values else schema


def _known(model: Model, given: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    fields = model.fields
    # Some documents spell a field with a blank behind it; the plain spelling wins.
    named = {**{name.strip(): value for name, value in given.items()}, **given}
    for name, schema in fields.items():
        value = named.get(name)
        if value is None or (value in ("", []) and EMPTY.search(name)) or (value == [] and _takes(schema, "array")):
            continue
        value = _lenient(schema, value)
        words = model.accepts.same.get(name, {})
        yield name, words.get(value, value) if isinstance(value, str) else value


def _lenient(schema: Schema, value: Json) -> Json:
    """The value in the documented type, where it says the same."""
    if isinstance(value, list):
        return [_lenient(schema["items"], each) for each in value] if "items" in schema else value
    if isinstance(value, dict):
        known = schema.get("properties", {})
        there = {name: each for name, each in value.items() if each is not None}
        return {name: _lenient(known.get(name, {}), each) for name, each in there.items()} if known else value
    if isinstance(value, str):
        numeric = _takes(schema, "integer") or _takes(schema, "number")
        number = numeral(value) if numeric else None
        if number is not None:
            return number
        return TRUTH.get(value.casefold(), value) if _takes(schema, "boolean") else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    whole = int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value
    return str(whole) if schema.get("type") == "string" else whole


def _takes(schema: Schema, kind: str) -> bool:
    kinds = schema.get("type", ())
    return kind == kinds or kind in kinds or any(_takes(option, kind) for option in schema.get("anyOf", ()))


def numeral(text: str) -> int | float | None:
    """The number that a text is, however many zeros it begins with; None where it is none."""
    found = NUMBER.fullmatch(text.strip())
    if found is None:
        return None
    sign, digits, fraction = found.groups()
    whole = int(f"{sign}{digits.lstrip('0')[:DIGITS] or '0'}")
    if not fraction or len(digits.lstrip("0")) > EXACT:
        return whole
    return float(f"{whole if whole else sign + '0'}{fraction[:DIGITS]}")
