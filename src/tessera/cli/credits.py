"""``tessera credits``: what an account has, and every entry that made it so."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol

import typer
from rich.markup import escape

from tessera.cli import office, options, show
from tessera.cli.fail import Fail
from tessera.cli.options import DataDir, Json
from tessera.domain.account import Account
from tessera.domain.credit import credits as in_credits
from tessera.domain.credit import show as show_credits
from tessera.domain.task import Mode

app = typer.Typer(help="Credits: balances and their ledger.", no_args_is_help=True)

Who = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Name or id of the account.", show_default=False)]

MOST = 200_000
"""Entries that are listed at most."""


class Entry(Protocol):
    """A row of the ledger, as far as it is shown."""

    @property
    def id(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def amount(self) -> int: ...
    @property
    def task_id(self) -> str | None: ...
    @property
    def note(self) -> str | None: ...
    @property
    def created_at(self) -> datetime: ...


class Ledger(Protocol):
    """Where balances and entries are read."""

    async def audit(self, account: Account, mode: Mode) -> tuple[int, int, int]: ...
    async def entries(self, account: Account, mode: Mode, *, limit: int) -> Sequence[Entry]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An entry of the ledger as it is shown; ``amount`` in milli-credits."""

    id: int
    at: datetime
    kind: str
    amount: int
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A balance, the sum and number of all entries behind it, and the newest of them."""

    mode: Mode
    balance: int
    total: int
    count: int
    lines: list[Line]


@app.command(context_settings={"ignore_unknown_options": True})  # an amount may begin with a minus
def grant(
    account: Who,
    amount: Annotated[
        int,
        typer.Argument(
            parser=office.amount, metavar="AMOUNT", help="Credits to add; -5 takes five away.", show_default=False
        ),
    ],
    mode: options.Mode = Mode.TEST,
    note: Annotated[str | None, typer.Option(help="Why, for the ledger.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Give credits to an account: test credits, unless --mode is live. The balance never falls below zero."""
    if amount == 0:
        raise typer.BadParameter("an amount of 0 changes nothing.", param_hint="AMOUNT")
    config = office.existing(data_dir)
    from tessera.wiring import open_accounts

    async def story() -> tuple[Account, int]:
        async with open_accounts(config) as accounts:
            owner = await accounts.find(account)
            return owner, await accounts.grant(owner, mode, amount, note)

    owner, balance = office.run(story())
    if as_json:
        facts = {"account": owner.name, "mode": mode.value}
        show.data({**facts, "granted": in_credits(amount), "balance": in_credits(balance)})
        return
    show.say(f"{escape(owner.name)} has {show_credits(balance)} {mode.value} credits now.")


@app.command("show")
def show_one(
    account: Who,
    mode: Annotated[Mode | None, typer.Option(help="One purse only. (Default: both.)", show_default=False)] = None,
    entries: Annotated[int, typer.Option(min=0, max=MOST, help="How many of the newest entries to list.")] = 10,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show the balance, the newest entries, and that the balance is the sum of all entries."""
    config = office.existing(data_dir)
    from tessera.wiring import open_accounts

    async def story() -> tuple[Account, list[Book]]:
        async with open_accounts(config) as accounts:
            owner = await accounts.find(account)
            return owner, [await _read(accounts, owner, each, entries) for each in ([mode] if mode else Mode)]

    owner, books = office.run(story())
    if as_json:
        show.data({"account": owner.name, "purses": [_data(book) for book in books]})
    else:
        for book in books:
            _print(owner, book)
    if any(book.total != book.balance for book in books):
        raise Fail("The balance is not the sum of the entries: this must not happen, please report it.")


async def _read(ledger: Ledger, owner: Account, mode: Mode, entries: int) -> Book:
    balance, total, count = await ledger.audit(owner, mode)
    rows = await ledger.entries(owner, mode, limit=entries)
    return Book(mode=mode, balance=balance, total=total, count=count, lines=[_line(row) for row in rows])


def _line(row: Entry) -> Line:
    about = row.note or row.task_id or ""
    return Line(id=row.id, at=row.created_at, kind=row.kind, amount=row.amount, about=about)


def _print(owner: Account, book: Book) -> None:
    show.say(f"{escape(owner.name)}: [bold]{show_credits(book.balance)}[/] {book.mode.value} credits  {_proof(book)}")
    if book.lines:
        rows = (
            [str(line.id), show.moment(line.at), line.kind, show_credits(line.amount), line.about]
            for line in book.lines
        )
        show.table(["entry", "at", "kind", "credits", "about"], rows, right=frozenset({"credits"}))


def _proof(book: Book) -> str:
    entries = show.count(book.count, "entry", "entries")
    if book.total == book.balance:
        return f"[green]= sum of {entries}[/]"
    return f"[bold red]but the sum of {entries} is {show_credits(book.total)}[/]"


def _data(book: Book) -> dict[str, object]:
    return {
        "mode": book.mode.value,
        "balance": in_credits(book.balance),
        "sum_of_entries": in_credits(book.total),
        "proven": book.total == book.balance,
        "entries": [
            {
                "id": line.id,
                "at": show.iso(line.at),
                "kind": line.kind,
                "amount": in_credits(line.amount),
                "about": line.about,
            }
            for line in book.lines
        ],
    }
