"""``tessera accounts``: who pays."""

import shlex
from datetime import timedelta
from typing import Annotated

import typer
from rich.markup import escape

from tessera.cli import office, show
from tessera.cli.options import DataDir, Json
from tessera.domain.account import Account
from tessera.domain.credit import credits as in_credits
from tessera.domain.credit import show as show_credits
from tessera.domain.task import Mode

app = typer.Typer(help="Accounts: who pays.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name or id of the account.", show_default=False)]
Secret = Annotated[bool, typer.Option("--secret", help="Show the webhook secret, too.")]
MASK = "whsec_***"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the account, one that is not taken.", show_default=False)],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make an account with test credits, and print its webhook secret.

    This one may come before the first start: in a folder without a gateway's data it makes the database.
    """
    config = office.settings(data_dir)
    fresh = office.is_fresh(config)
    from tessera.wiring import open_accounts

    async def story() -> Account:
        async with open_accounts(config) as accounts:
            return await accounts.create(name)

    account = office.run(story())
    if as_json:
        show.data(_data(account, secret=True))
        return
    show.facts({"account": account.id, "name": account.name, "webhook secret": account.webhook_secret})
    if fresh:
        show.say(f"[dim]There was no gateway's data in {escape(str(config.data_dir))}: it was made.[/]")
    where = f" --data-dir {shlex.quote(str(data_dir))}" if data_dir is not None else ""
    show.say(escape(f"Next: {show.program()} keys create --account {shlex.quote(account.name)}{where}"), dim=True)


@app.command("list")
def list_all(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the accounts."""
    config = office.existing(data_dir)
    from tessera.wiring import open_accounts

    async def story() -> list[Account]:
        async with open_accounts(config) as accounts:
            return await accounts.all()

    found = office.run(story())
    if as_json:
        show.data([_data(account) for account in found])
        return
    rows = ([account.id, account.name, show.moment(account.created_at)] for account in found)
    show.table(["account", "name", "created"], rows)


@app.command("show")
def show_one(name: Name, secret: Secret = False, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show an account: its credits, how many keys it has, and on request its webhook secret."""
    config = office.existing(data_dir)
    from tessera.wiring import open_accounts

    async def story() -> tuple[Account, dict[Mode, int], int]:
        async with open_accounts(config) as accounts:
            account = await accounts.find(name)
            balances = {mode: await accounts.balance(account, mode) for mode in Mode}
            keys = [key for key in await accounts.keys(account) if key.revoked_at is None]
            return account, balances, len(keys)

    account, balances, keys = office.run(story())
    if as_json:
        credits = {mode.value: in_credits(balance) for mode, balance in balances.items()}
        show.data({**_data(account, secret=secret), "credits": credits, "keys": keys})
        return
    show.facts(
        {
            "account": account.id,
            "name": account.name,
            "created": show.moment(account.created_at),
            "webhook secret": account.webhook_secret if secret else f"{MASK} (--secret shows it)",
            **{f"{mode.value} credits": show_credits(balance) for mode, balance in balances.items()},
            "keys in use": str(keys),
        }
    )


@app.command()
def rotate_secret(
    name: Name,
    overlap: Annotated[
        timedelta,
        typer.Option(parser=office.duration, metavar="24h", help="How long callbacks carry both signatures."),
    ] = "24h",  # type: ignore[assignment]  # parsed like what is typed
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a new webhook secret, and print it. For a while the old one verifies callbacks, too."""
    config = office.existing(data_dir)
    from tessera.wiring import open_accounts

    async def story() -> Account:
        async with open_accounts(config) as accounts:
            return await accounts.rotate(await accounts.find(name), overlap)

    account = office.run(story())
    if as_json:
        show.data({**_data(account, secret=True), "previous_until": show.iso(account.previous_until)})
        return
    show.facts({"account": account.id, "name": account.name, "webhook secret": account.webhook_secret})
    if account.previous_until is not None:
        until = show.moment(account.previous_until)
        show.say(f"[dim]Standard Webhooks signatures fit the old secret, too, until {until}.[/]")


def _data(account: Account, *, secret: bool = False) -> dict[str, object]:
    return {
        "id": account.id,
        "name": account.name,
        "created_at": show.iso(account.created_at),
        "webhook_secret": account.webhook_secret if secret else MASK,
    }
