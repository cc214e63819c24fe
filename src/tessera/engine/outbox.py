"""Callbacks as an operator handles them: what became of them, and once more."""

from dataclasses import dataclass

from tessera.db import accounts, webhooks
from tessera.db.connection import Database
from tessera.domain.account import Account
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.webhook import Delivery, DeliveryAttempt, DeliveryState
from tessera.engine.finish import Finish


@dataclass(frozen=True, slots=True)
class Told:
    """A delivery, whose it is, and every try to make it, oldest first."""

    delivery: Delivery
    account: str
    attempts: tuple[DeliveryAttempt, ...] = ()


class Outbox:
    def __init__(self, database: Database, finish: Finish) -> None:
        self._database = database
        self._finish = finish

    async def newest(self, account: str | None, state: DeliveryState | None, *, limit: int) -> list[Told]:
        """The newest deliveries first, without their tries: of one account (by name or id), or of all.

        Raises NotFound for an account that there is not.
        """
        found: list[Told] = []
        for owner in await self._owners(account):
            rows = await webhooks.of_account(self._database, owner.id, state=state, limit=limit)
            found += [Told(row, owner.name) for row in rows]
        return sorted(found, key=lambda told: (told.delivery.created_at, told.delivery.id), reverse=True)[:limit]

    async def show(self, delivery_id: str) -> Told:
        """Raises NotFound."""
        delivery = await webhooks.get(self._database, delivery_id)
        if delivery is None:
            raise NotFound(f"there is no delivery {delivery_id!r}; `tessera webhooks list` shows them")
        owner = await accounts.find(self._database, delivery.account_id)
        tries = await webhooks.attempts(self._database, delivery_id)
        return Told(delivery, owner.name if owner else delivery.account_id, tuple(tries))

    async def redeliver(self, delivery_id: str) -> Told:
        """Deliver it again, on the whole schedule, by whichever worker runs.

        Raises NotFound, and Invalid for one that is under way.
        """
        told = await self.show(delivery_id)
        if await self._finish.tell_again(delivery_id, told.delivery.account_id) is None:
            raise Invalid("this delivery is under way already: `tessera webhooks show` tells when its next try is")
        return await self.show(delivery_id)

    async def _owners(self, ref: str | None) -> list[Account]:
        if ref is None:
            return await accounts.all_of(self._database)
        account = await accounts.find(self._database, ref)
        if account is None:
            raise NotFound(f"there is no account {ref!r}; `tessera accounts list` shows them")
        return [account]
