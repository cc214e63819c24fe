"""The database's errors in our words: the one border where asyncpg's are translated."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from tessera.domain.errors import Invalid, TesseraError


class Conflict(TesseraError):
    """A rule of the database was broken: a name or a key is taken, or a balance would fall below zero."""


LOST: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,  # shut down, starting up, terminated by hand
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    OSError,
    TimeoutError,
)
"""Errors that say nothing about the statement: the database was not there for it, and may be soon."""


@contextmanager
def border() -> Iterator[None]:
    """What a statement may say about its values. Lost connections and the like pass as they are: they are no answer."""
    try:
        yield
    except (asyncpg.UniqueViolationError, asyncpg.CheckViolationError) as error:
        raise Conflict(str(error)) from error
    except (asyncpg.DataError, UnicodeEncodeError) as error:
        raise Invalid("The request holds text that cannot be stored (a NUL or half a surrogate pair)") from error
