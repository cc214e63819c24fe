"""All SQL and nothing but SQL: Postgres through asyncpg, one repository a file."""
