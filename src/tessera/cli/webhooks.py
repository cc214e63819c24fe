"""``tessera webhooks``: callbacks, every try to deliver them, and once more."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tessera.cli import office, show
from tessera.cli.options import DataDir, Json
from tessera.domain.webhook import DeliveryAttempt, DeliveryState

if TYPE_CHECKING:
    from tessera.wiring import Told

app = typer.Typer(help="Callbacks: what became of them.", no_args_is_help=True)

MOST = 1000

Id = Annotated[
    str,
    typer.Argument(
        metavar="DELIVERY", help="Id of the delivery, as `tessera webhooks list` shows it.", show_default=False
    ),
]


@app.command("list")
def list_all(
    account: Annotated[
        str | None, typer.Option(help="Name or id of one account. (Default: every account.)", show_default=False)
    ] = None,
    state: Annotated[
        DeliveryState | None, typer.Option(help="Only those in one state. (Default: all.)", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many of the newest.")] = 50,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List deliveries, the newest first."""
    config = office.existing(data_dir)
    from tessera.wiring import open_outbox

    async def story() -> "list[Told]":
        async with open_outbox(config) as outbox:
            return await outbox.newest(account, state, limit=limit)

    found = office.run(story())
    if as_json:
        show.data([_data(told) for told in found])
        return
    rows = (
        [
            told.delivery.id,
            told.delivery.state.value,
            show.moment(told.delivery.created_at),
            told.account,
            told.delivery.event,
            told.delivery.url,
        ]
        for told in found
    )
    show.table(["delivery", "state", "since", "account", "event", "url"], rows)


@app.command("show")
def show_one(delivery: Id, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show a delivery and every try to make it."""
    config = office.existing(data_dir)
    from tessera.wiring import open_outbox

    async def story() -> "Told":
        async with open_outbox(config) as outbox:
            return await outbox.show(delivery)

    _print(office.run(story()), as_json=as_json)


@app.command()
def redeliver(delivery: Id, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Deliver a callback again, on the whole schedule. A running worker does it; this command only asks for it."""
    config = office.existing(data_dir)
    from tessera.wiring import open_outbox

    async def story() -> "Told":
        async with open_outbox(config) as outbox:
            return await outbox.redeliver(delivery)

    told = office.run(story())
    if as_json:
        show.data(_data(told))
        return
    show.say(f"{escape(told.delivery.id)} is pending again; `tessera webhooks show` tells how it went.")


def _print(told: "Told", *, as_json: bool) -> None:
    if as_json:
        show.data({**_data(told), "attempts": [_attempt(each) for each in told.attempts]})
        return
    delivery = told.delivery
    show.facts(
        {
            "delivery": delivery.id,
            "account": told.account,
            "task": delivery.task_id,
            "event": delivery.event,
            "url": delivery.url,
            "state": delivery.state.value,
            "since": show.moment(delivery.created_at),
            "next try": show.moment(delivery.next_at) if delivery.next_at else "-",
        }
    )
    rows = (
        [str(each.number), show.moment(each.at), f"{each.seconds:.2f} s", _answer(each), _excerpt(each)]
        for each in told.attempts
    )
    show.table(["try", "at", "took", "answer", "said"], rows, right=frozenset({"try", "took"}))


def _answer(attempt: DeliveryAttempt) -> str:
    return f"HTTP {attempt.status}" if attempt.status is not None else attempt.error or "none"


def _excerpt(attempt: DeliveryAttempt) -> str:
    """The beginning of what the receiver said, on one line, without what a terminal would obey."""
    text = " ".join((attempt.excerpt or "").split())[:80]
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _data(told: "Told") -> dict[str, object]:
    delivery = told.delivery
    return {
        "id": delivery.id,
        "account": told.account,
        "task": delivery.task_id,
        "event": delivery.event,
        "url": delivery.url,
        "state": delivery.state.value,
        "created_at": show.iso(delivery.created_at),
        "next_at": show.iso(delivery.next_at),
        "ended_at": show.iso(delivery.ended_at),
    }


def _attempt(attempt: DeliveryAttempt) -> dict[str, object]:
    return {
        "number": attempt.number,
        "at": show.iso(attempt.at),
        "seconds": round(attempt.seconds, 3),
        "status": attempt.status,
        "error": attempt.error,
        "excerpt": attempt.excerpt,
    }
