"""``tessera keys``: how an account shows itself."""

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from tessera.cli import office, options, show
from tessera.cli.options import DataDir, Json
from tessera.domain.account import Account, ApiKey, Caps
from tessera.domain.credit import credits as in_credits
from tessera.domain.credit import show as show_credits
from tessera.domain.task import Mode
from tessera.kit import clock

app = typer.Typer(help="API keys: how an account shows itself.", no_args_is_help=True)


def _cap(span: str) -> Any:
    return typer.Option(
        parser=office.amount, metavar="CREDITS", help=f"Most credits that it may spend {span}.", show_default=False
    )


@app.command()
def create(
    account: Annotated[str, typer.Option(help="Name or id of the account.")] = "default",
    mode: options.Mode = Mode.TEST,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "default",
    cap_hour: Annotated[int | None, _cap("in an hour")] = None,
    cap_day: Annotated[int | None, _cap("in a day")] = None,
    cap_total: Annotated[int | None, _cap("in all")] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(parser=office.moment, metavar="30d|DATE", help="When the key ends.", show_default=False),
    ] = None,
    allow_ip: Annotated[
        list[str] | None,
        typer.Option(metavar="CIDR", help="Address or network that may use it; can be repeated.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it: a test key, unless --mode is live. This is the only time that it can be read."""
    config = office.existing(data_dir)
    from tessera.wiring import open_accounts

    async def story() -> tuple[Account, ApiKey, str]:
        async with open_accounts(config) as accounts:
            owner = await accounts.find(account)
            new = await accounts.create_key(
                owner,
                mode,
                name=name,
                caps=Caps(hour=cap_hour, day=cap_day, total=cap_total),
                networks=tuple(allow_ip or ()),
                expires_at=expires,
            )
            return owner, new.key, new.secret

    owner, key, secret = office.run(story())
    if as_json:
        show.data({**_data(key, owner.name), "key": secret})
        return
    show.facts({"key": secret, "id": key.id, "account": owner.name, "mode": key.mode.value, "limits": _limits(key)})
    show.say("[dim]Keep the key now: it is stored as a hash and cannot be shown again.[/]")


@app.command("list")
def list_all(
    account: Annotated[
        str | None, typer.Option(help="Name or id of one account. (Default: every account.)", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List keys: never the key itself, only its last four characters."""
    config = office.existing(data_dir)
    from tessera.wiring import open_accounts

    async def story() -> list[tuple[Account, ApiKey]]:
        async with open_accounts(config) as accounts:
            owners = [await accounts.find(account)] if account else await accounts.all()
            return [(owner, key) for owner in owners for key in await accounts.keys(owner)]

    found = office.run(story())
    if as_json:
        show.data([_data(key, owner.name) for owner, key in found])
        return
    rows = (
        [key.id, owner.name, key.mode.value, key.name, f"...{key.hint}", _state(key), _limits(key)]
        for owner, key in found
    )
    show.table(["id", "account", "mode", "name", "ends in", "state", "limits"], rows)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `tessera keys list` shows it.", show_default=False)],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Revoke a key. No new task is accepted for it from now on; reads may still succeed for two seconds."""
    config = office.existing(data_dir)
    from tessera.wiring import open_accounts

    async def story() -> tuple[Account, ApiKey]:
        async with open_accounts(config) as accounts:
            key = await accounts.revoke(key_id)
            return await accounts.find(key.account_id), key

    owner, key = office.run(story())
    if as_json:
        show.data(_data(key, owner.name))
        return
    assert key.revoked_at is not None
    show.say(f"{escape(key.id)} ({escape(owner.name)}) is revoked since {show.moment(key.revoked_at)}.")


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {show.moment(key.revoked_at)}"
    if key.expires_at is not None and key.expires_at <= clock.system():
        return f"expired {show.moment(key.expires_at)}"
    return "active"


def _limits(key: ApiKey) -> str:
    """The key's limits in words; a dash where it has none."""
    caps = {"hour": key.caps.hour, "day": key.caps.day, "total": key.caps.total}
    parts = [f"{show_credits(cap)}/{span}" for span, cap in caps.items() if cap is not None]
    if key.expires_at is not None:
        parts.append(f"until {show.moment(key.expires_at)}")
    if key.networks:
        parts.append(f"from {' '.join(key.networks)}")
    return ", ".join(parts) or "-"


def _data(key: ApiKey, account: str) -> dict[str, object]:
    caps = {"hour": key.caps.hour, "day": key.caps.day, "total": key.caps.total}
    return {
        "id": key.id,
        "account": account,
        "mode": key.mode.value,
        "name": key.name,
        "hint": key.hint,
        "state": _state(key).partition(" ")[0],
        "created_at": show.iso(key.created_at),
        "expires_at": show.iso(key.expires_at),
        "revoked_at": show.iso(key.revoked_at),
        "allow_ip": list(key.networks),
        "caps": {span: in_credits(cap) if cap is not None else None for span, cap in caps.items()},
    }
