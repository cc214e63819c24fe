"""The models of the Market, their inputs and their prices: ``/v1/models``, and the open lists that clients know."""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache

from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from tessera.api.auth import Keys
from tessera.api.http import HttpRequest, HttpResponse, body, success
from tessera.contract import catalog, market_price
from tessera.contract.catalog import CHAT, Model, Rate
from tessera.contract.market import PriceCount, PricePage, PriceQuery, PriceRow, PublicModel
from tessera.dialects import market_requests
from tessera.dialects.base import read
from tessera.domain.errors import NoProvider, NotFound
from tessera.domain.task import Mode
from tessera.wiring import House

USD = Decimal("0.005")
"""What a credit costs."""

SMALL = 16 * 1024
"""Bytes of a body that anybody may send: these lists need no key."""

KINDS = ("image", "video", "music", "chat")


class Models:
    def __init__(self, house: House, keys: Keys) -> None:
        self.house = house
        self.keys = keys

    async def all(self, request: HttpRequest) -> HttpResponse:
        """Every model, or those of a ``modality``, a ``vendor``, a ``status``."""
        key = await self.keys(request)
        query = request.query_params
        wanted = {name: query[name] for name in ("modality", "vendor", "status") if query.get(name)}
        found = [model for model in catalog.models().values() if _fits(model, wanted)]
        return success([self._show(model, key.mode) for model in found])

    async def one(self, request: HttpRequest, model_id: str) -> HttpResponse:
        key = await self.keys(request)
        model = catalog.find(model_id.strip("/"))
        if model is None:
            raise NotFound("There is no such model")
        return success(self._show(model, key.mode))

    async def paths(self) -> HttpResponse:
        return success(list(catalog.models()))

    async def count(self) -> HttpResponse:
        kinds = [row.interfaceType for row in self._rows()]
        image, video, music, chat = (kinds.count(kind) for kind in KINDS)
        return success(PriceCount(all=len(kinds), image=image, video=video, music=music, chat=chat))

    async def page(self, request: HttpRequest) -> HttpResponse:
        """One page of the price rows of a kind that have a text in them."""
        wanted = read(PriceQuery, await body(request, SMALL))
        text = (wanted.modelDescription or "").casefold()
        rows = [
            row
            for row in self._rows()
            if (not wanted.interfaceType or row.interfaceType == wanted.interfaceType)
            and text in row.modelDescription.casefold()
        ]
        start = (wanted.pageNum - 1) * wanted.pageSize
        pages = math.ceil(len(rows) / wanted.pageSize)
        return success(PricePage(records=rows[start : start + wanted.pageSize], total=len(rows), pages=pages))

    def _rows(self) -> tuple[PriceRow, ...]:
        return _rows(self.house.public_url)

    def _show(self, model: Model, mode: Mode) -> PublicModel:
        operations = market_requests.could(model)
        return PublicModel(
            id=model.id,
            title=model.title,
            family=model.family,
            vendor=model.vendor,
            modality=model.modality,
            modalities=list(model.modalities or (model.modality,)),
            status=model.status,
            aliases=list(model.aliases),
            available=None if model.modality == CHAT else any(self._runs(mode, model, each) for each in operations),
            operations=list(operations),
            input=model.input,
            output=model.output,
            credits=market_price.tariff(model),
            endpoint=model.endpoint,
            rules=list(model.rules),
            notes=[*model.notes, *model.also],
            source=model.source,
            asOf=model.as_of,
        )

    def _runs(self, mode: Mode, model: Model, operation: str) -> bool:
        try:
            return bool(self.house.routes.of(mode, model.id, operation))
        except NoProvider:
            return False


def _fits(model: Model, wanted: Mapping[str, str]) -> bool:
    return all(
        value == getattr(model, name) or (name == "modality" and value in model.modalities)
        for name, value in wanted.items()
    )


@cache
def _rows(public_url: str) -> tuple[PriceRow, ...]:
    """The price list as people read it: a row for each rate."""
    return tuple(row for model in catalog.models().values() for row in _rows_of(model, public_url))


def _rows_of(model: Model, public_url: str) -> Iterator[PriceRow]:
    rules = market_price.tariff(model)
    for rate in rules.rates:
        price = Decimal(str(rate.credits))
        yield PriceRow(
            modelDescription=", ".join((model.title, *_conditions(rate), *(("estimate",) if rules.estimate else ()))),
            interfaceType=kind(model),
            provider=model.vendor,
            creditPrice=f"{price:f}",
            creditUnit=rules.unit.replace("_", " "),
            usdPrice=f"{(price * USD).normalize():f}",
            falPrice=None,
            discountRate=0.0,
            anchor=f"{public_url}/v1/models/{model.id}",
            discountPrice=False,
        )


def _conditions(rate: Rate) -> Iterator[str]:
    """What a rate holds for, in words: ``resolution 720p``, ``without sound``."""
    for name, value in rate.when.items():
        words = name.removeprefix("$").replace("_", " ")
        if isinstance(value, bool):
            yield f"{'with' if value else 'without'} {words}"
        else:
            yield f"{words} {value}"


def kind(model: Model) -> str:
    """One of the four kinds of the price list; all that is heard is music there."""
    if model.modality == CHAT:
        return CHAT
    if model.output.kind in KINDS:
        return model.output.kind
    return "image" if model.modality.startswith("image") else "video" if "video" in model.modality else "music"


def routes(house: House, keys: Keys) -> list[HTTPRouteHandler]:
    desk = Models(house, keys)

    @get("/v1/models")
    async def models(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await desk.all(request)

    @get("/v1/models/{model_id:path}")
    async def model(request: Request, model_id: FromPath[str]) -> HttpResponse:  # type: ignore[type-arg]
        return await desk.one(request, str(model_id))

    @get("/api/v1/playground/model-paths")
    async def paths() -> HttpResponse:
        return await desk.paths()

    @get("/client/v1/model-pricing/count")
    async def count() -> HttpResponse:
        return await desk.count()

    @post("/client/v1/model-pricing/page", status_code=200)
    async def page(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await desk.page(request)

    return [models, model, paths, count, page]
