"""The operator's commands: they need the database and the accounts, whether a gateway runs beside them or not."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

import typer

from tessera.cli import options
from tessera.cli.fail import Fail
from tessera.config import Config, LogFormat, LogLevel, parse_duration
from tessera.domain.credit import milli

T = TypeVar("T")

MOST_CREDITS = 10**12
"""No amount on the command line is larger: that many milli-credits still fit where balances are kept."""


LONGEST = timedelta(days=365)


def settings(data_dir: Path | None) -> Config:
    """The settings, with logging so quiet that only trouble is heard."""
    from tessera.cli import logs

    config = options.settings(data_dir=data_dir)
    logs.setup(LogLevel.WARNING, LogFormat.AUTO)
    return config


def existing(data_dir: Path | None) -> Config:
    """The same for a gateway that is there: a mistyped folder must not become an empty database. Raises Fail."""
    config = settings(data_dir)
    if is_fresh(config):
        raise Fail(
            f"there is no gateway's data in {config.data_dir}: name its folder with --data-dir; "
            "`tessera serve` makes a new one.",
            code=2,
        )
    return config


def is_fresh(config: Config) -> bool:
    """Whether the embedded database has still to be made."""
    return config.database_url is None and not (config.data_dir / "postgres" / "PG_VERSION").exists()


def run(story: Coroutine[None, None, T]) -> T:
    return asyncio.run(story)


def amount(text: str) -> int:
    """Milli-credits from credits as typed, such as 100, 2.5 or -3. Raises BadParameter."""
    try:
        credits = Decimal(text)
        if credits.is_finite() and abs(credits) <= MOST_CREDITS:
            return milli(credits)
    except (InvalidOperation, ValueError):
        pass
    raise typer.BadParameter(f"{text!r} is no amount of credits (at most three decimals, such as 100 or 2.5).")


def duration(text: str) -> timedelta:
    """A length of time of at most a year, such as 24h. Raises BadParameter."""
    try:
        length = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}.") from None
    if length > LONGEST:
        raise typer.BadParameter(f"{text!r} must be at most {LONGEST.days}d.")
    return length


def moment(text: str) -> datetime:
    """A time from now (30d), or an ISO date or time, in UTC where it names no zone. Raises BadParameter."""
    try:
        return datetime.now(UTC) + parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        given = datetime.fromisoformat(text)
        return given if given.tzinfo else given.replace(tzinfo=UTC)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a duration such as 30d nor a date such as 2030-01-31.") from None
