"""The Market on the wire: tasks of any model, voices and characters, lists of models and prices. Names are theirs."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tessera.contract.catalog import Credits, Endpoint, Output

UNKNOWN_MODEL = (
    "The model name you specified is not supported. Please verify your input and use one of the supported models "
    "provided by KIE."
)
DONE = "Playground task completed successfully."
FAILED = "Playground task failed."
NO_TASK_ID = "taskId parameter is required"
NO_RECORD = "recordInfo is null"

State = Literal["waiting", "queuing", "generating", "success", "fail"]


class CreateTask(msgspec.Struct, frozen=True, kw_only=True):
    """Body of createTask. ``callbackUrl`` is a spelling that some clients use."""

    model: str
    input: dict[str, Any] | None = None
    callBackUrl: str | None = None
    callbackUrl: str | None = None


class JobCreated(msgspec.Struct, frozen=True, kw_only=True):
    """Both names of the id."""

    taskId: str
    recordId: str


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` of recordInfo, in the order of the recordings. Times are milliseconds since 1970, ``costTime`` seconds.

    ``param`` is the JSON text of the request, its input a JSON text within; ``resultJson`` that of the result.
    """

    taskId: str
    model: str
    state: State
    param: str
    resultJson: str
    failCode: str | None
    failMsg: str | None
    costTime: int | None
    completeTime: int | None
    createTime: int
    creditsConsumed: float
    operationType: str
    response: dict[str, Any] | UnsetType = UNSET
    successFlag: Literal[0, 1, 2, 3]
    paramJson: str
    updateTime: int
    progress: int


class JobCallbackData(msgspec.Struct, frozen=True, kw_only=True):
    """As in the record; ``consumeCredits`` is the older name of ``creditsConsumed``."""

    taskId: str
    model: str
    state: State
    param: str
    resultJson: str | None
    failCode: str | None
    failMsg: str | None
    costTime: int
    createTime: int
    completeTime: int
    updateTime: int
    creditsConsumed: float
    consumeCredits: float


# fmt: off
VOICES = (
    "achernar", "achird", "algenib", "algieba", "alnilam", "aoede", "autonoe", "callirrhoe", "charon", "despina",
    "enceladus", "erinome", "fenrir", "gacrux", "iapetus", "kore", "laomedeia", "leda", "orus", "puck",
    "pulcherrima", "rasalgethi", "sadachbia", "sadaltager", "schedar", "sulafat", "umbriel", "vindemiatrix",
    "zephyr", "zubenelgenubi",
)
# fmt: on


class OmniAudio(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``/api/v1/omni/audio/create``: a preset voice to start from, and how it is to sound."""

    audio_id: str
    name: Annotated[str, Meta(min_length=1, max_length=210)]
    voice_description: Annotated[str, Meta(max_length=20000)] | None = None
    example_dialogue: Annotated[str, Meta(max_length=120)] | None = None


class OmniAudioMade(msgspec.Struct, frozen=True, kw_only=True):
    """Both names of the id."""

    audioId: str
    kieAudioId: str
    name: str


class OmniCharacter(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``/api/v1/omni/character/create``; ``description`` is the spelling of the documents' own example."""

    image_urls: Annotated[list[str], Meta(min_length=1, max_length=2)]
    descriptions: str | None = None
    description: str | None = None
    audio_ids: list[str] | None = None
    character_name: str | None = None


class OmniCharacterMade(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures are left out where they are not there yet."""

    characterId: str
    characterName: str
    imageUrl: str | UnsetType = UNSET
    bodyImageUrl: str | UnsetType = UNSET


class PriceCount(msgspec.Struct, frozen=True, kw_only=True):
    all: int
    image: int
    video: int
    music: int
    chat: int


class PriceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``/client/v1/model-pricing/page``; ``modelDescription`` is a text to look for."""

    pageNum: Annotated[int, Meta(ge=1)]
    pageSize: Annotated[int, Meta(ge=1, le=100)]
    interfaceType: str | None = None
    modelDescription: str | None = None


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One rate, for people to read. Numbers are text; ``anchor`` is where the model is described."""

    modelDescription: str
    interfaceType: str
    provider: str
    creditPrice: str
    creditUnit: str
    usdPrice: str
    falPrice: str | None
    discountRate: float
    anchor: str
    discountPrice: bool


class PricePage(msgspec.Struct, frozen=True, kw_only=True):
    records: list[PriceRow]
    total: int
    pages: int


class PublicModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model as ``/v1/models`` tells it. ``input`` is a JSON Schema, ``credits`` are the catalog's price rules.

    ``available`` says whether a provider is there that can run it with the caller's kind of key; null for a chat
    model, which answers at its ``endpoint`` and makes no tasks.
    """

    id: str
    title: str
    family: str
    vendor: str
    modality: str
    modalities: list[str]
    status: str
    aliases: list[str]
    available: bool | None
    operations: list[str]
    input: dict[str, Any]
    output: Output
    credits: Credits
    endpoint: Endpoint | None
    rules: list[str]
    notes: list[str]
    source: str
    asOf: str
