"""Accounts, keys and credits as an operator handles them: the rules in the domain, the rows in the database."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network

from tessera.db import accounts, ledger
from tessera.db.connection import Database
from tessera.db.errors import Conflict
from tessera.domain.account import KEY_PREFIX, Account, ApiKey, Caps, digest
from tessera.domain.credit import MOST, milli, show
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.task import Mode
from tessera.kit.clock import Clock

NO_CAPS = Caps()
TEST_CREDITS = 10_000
"""What a new account has to play with."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when it can be read."""

    key: ApiKey
    secret: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the first start shows, once."""

    account_id: str
    test_key: str
    live_key: str
    webhook_secret: str


class Accounts:
    """``new_secret`` makes a webhook secret, ``chance`` makes the random part of ids and keys."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        new_secret: Callable[[], str],
        chance: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self._database = database
        self._clock = clock
        self._new_secret = new_secret
        self._chance = chance

    async def create(
        self, name: str, *, webhook_secret: str | None = None, test_credits: int = TEST_CREDITS
    ) -> Account:
        """A new account with its test credits. Raises Invalid for a bad or taken name and an absurd amount."""
        if not name.strip() or len(name) > 100 or not name.isprintable():
            raise Invalid("name: 1 to 100 printable characters", field="name")
        try:
            gift = milli(test_credits)
        except ValueError as error:
            raise Invalid(f"test credits: {error}", field="test_credits") from error
        account = Account(
            id=self._chance(8), name=name, webhook_secret=webhook_secret or self._new_secret(), created_at=self._clock()
        )
        try:
            async with self._database.transaction() as connection:
                await accounts.add(connection, account)
                if gift:
                    await ledger.grant(connection, account.id, Mode.TEST, gift, "first test credits", self._clock())
        except Conflict as error:
            raise Invalid(f"name: there is an account named {name!r} already", field="name") from error
        return account

    async def bootstrap(
        self,
        name: str,
        *,
        test_key: str | None,
        live_key: str | None,
        webhook_secret: str | None,
        test_credits: int,
    ) -> Welcome | None:
        """Make sure of the first account, and of the keys and the secret that a script wants to know beforehand.

        Answers what has to be shown once; None where the account had keys already. Safe on every start of a process.
        """
        async with self._database.transaction() as connection:
            # Several processes may begin at once: one of them makes the keys and shows them.
            await accounts.line_up(connection)
            account = await self._ensure(name, webhook_secret, test_credits)
            fresh = not await self.keys(account)
            test = await self._ensure_key(account, Mode.TEST, test_key, fresh=fresh)
            live = await self._ensure_key(account, Mode.LIVE, live_key, fresh=fresh)
        return Welcome(account.id, test, live, account.webhook_secret) if fresh else None

    async def _ensure(self, name: str, webhook_secret: str | None, test_credits: int) -> Account:
        account = await accounts.find(self._database, name)
        if account is None:
            try:
                return await self.create(name, webhook_secret=webhook_secret, test_credits=test_credits)
            except Invalid:  # another process was first
                account = await self.find(name)
        # The secret is for the first start: later ones would undo a rotation.
        return account

    async def _ensure_key(self, account: Account, mode: Mode, secret: str | None, *, fresh: bool) -> str:
        if secret is None and not fresh:
            return ""
        with suppress(Invalid):  # it is there already
            return (await self.create_key(account, mode, name="first", secret=secret)).secret
        return secret or ""

    async def find(self, ref: str) -> Account:
        """The account with this id or name. Raises NotFound."""
        account = await accounts.find(self._database, ref)
        if account is None:
            raise NotFound(f"there is no account {ref!r}; `tessera accounts list` shows them")
        return account

    async def rotate(self, account: Account, overlap: timedelta) -> Account:
        """A new webhook secret; callbacks carry the signatures of both until ``overlap`` is over."""
        async with self._database.transaction() as connection:
            await accounts.rotate(connection, account.id, self._new_secret(), self._clock() + overlap)
        return await self.find(account.id)

    async def all(self) -> list[Account]:
        return await accounts.all_of(self._database)

    async def create_key(
        self,
        account: Account,
        mode: Mode,
        *,
        name: str = "default",
        caps: Caps = NO_CAPS,
        networks: tuple[str, ...] = (),
        expires_at: datetime | None = None,
        secret: str | None = None,
    ) -> NewKey:
        """A new key; ``secret`` is one that a script knows already. Raises Invalid."""
        for network in networks:
            _check_network(network)
        if expires_at is not None and expires_at <= self._clock():
            raise Invalid("expires: has to lie in the future", field="expires")
        for cap in (caps.hour, caps.day, caps.total):
            if cap is not None and cap < 0:
                raise Invalid("cap: must not be negative", field="cap")
            if cap is not None and cap > MOST:
                raise Invalid(f"cap: must not be above {show(MOST)} credits", field="cap")
        secret = secret or KEY_PREFIX[mode] + self._chance(24)
        key = ApiKey(
            id=f"key_{self._chance(8)}",
            account_id=account.id,
            mode=mode,
            name=name,
            hint=secret[-4:],
            created_at=self._clock(),
            expires_at=expires_at,
            networks=networks,
            caps=caps,
        )
        try:
            async with self._database.transaction() as connection:
                await accounts.add_key(connection, key, digest(secret))
        except Conflict as error:
            raise Invalid("key: this key exists already", field="key") from error
        return NewKey(key, secret)

    async def keys(self, account: Account) -> list[ApiKey]:
        return await accounts.keys_of(self._database, account.id)

    async def revoke(self, key_id: str) -> ApiKey:
        """Raises NotFound."""
        key = await accounts.revoke(self._database, key_id, self._clock())
        if key is None:
            raise NotFound(f"there is no key {key_id!r}; `tessera keys list` shows them")
        return key

    async def grant(self, account: Account, mode: Mode, amount: int, note: str | None = None) -> int:
        """Add milli-credits (negative: take away); answers the balance.

        Raises Invalid where it would fall below 0 or rise above ``MOST``, or the amount alone is beyond that.
        """
        if abs(amount) > MOST:
            raise Invalid(f"amount: at most {show(MOST)} credits at once", field="amount")
        try:
            async with self._database.transaction() as connection:
                return await ledger.grant(connection, account.id, mode, amount, note, self._clock())
        except Conflict as error:
            raise Invalid("amount: the balance would fall below zero", field="amount") from error

    async def balance(self, account: Account, mode: Mode) -> int:
        """Milli-credits that are free to spend."""
        return await ledger.balance(self._database, account.id, mode)

    async def audit(self, account: Account, mode: Mode) -> tuple[int, int, int]:
        """Balance, sum of the ledger's entries (equal to it, always) and their number."""
        return await ledger.audit(self._database, account.id, mode)

    async def entries(self, account: Account, mode: Mode, *, limit: int = 50) -> list[ledger.Entry]:
        return await ledger.entries(self._database, account.id, mode, limit=limit)


def _check_network(network: str) -> None:
    try:
        ip_network(network, strict=False)
    except ValueError as error:
        raise Invalid(f"allow-ip: {network!r} is no address and no network", field="allow-ip") from error
