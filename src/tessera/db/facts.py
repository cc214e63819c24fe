"""Facts of the installation, shared by every machine: made once, by whoever comes first."""

from tessera.db.connection import Database

SCHEMA_MINIMUM = "schema_minimum"
"""The fact that says which revision a program has to know at least."""


async def once(database: Database, name: str, value: str) -> str:
    """The fact ``name``; ``value`` becomes it where it is not there yet."""
    await database.pool.execute("INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING", name, value)
    return str(await database.pool.fetchval("SELECT value FROM facts WHERE name = $1", name))


async def get(database: Database, name: str) -> str | None:
    """The fact ``name``, where it is there."""
    found: str | None = await database.pool.fetchval("SELECT value FROM facts WHERE name = $1", name)
    return found


async def put(database: Database, name: str, value: str) -> None:
    await database.pool.execute(
        "INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        name,
        value,
    )
