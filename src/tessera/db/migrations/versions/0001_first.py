"""The first schema: accounts, keys, wallets, ledger, tasks, attempts, assets, deliveries."""

from alembic import op

revision = "0001"
down_revision = None
release = "0.1.0"

STATEMENTS = (
    # Facts of the installation that every machine shares: signing keys, the queue's schema version.
    """
    CREATE TABLE facts (
        name text PRIMARY KEY,
        value text NOT NULL
    )
    """,
    """
    CREATE TABLE accounts (
        id text PRIMARY KEY,
        name text NOT NULL UNIQUE,
        webhook_secret text NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    # balance is in milli-credits and equals the sum of the ledger's amounts; hits are the moments (ms) of the
    # accepted requests of the current rate window. Whoever spends locks this row first.
    """
    CREATE TABLE wallets (
        account_id text NOT NULL REFERENCES accounts (id),
        mode text NOT NULL CHECK (mode IN ('test', 'live')),
        balance bigint NOT NULL DEFAULT 0 CHECK (balance >= 0),
        hits bigint[] NOT NULL DEFAULT '{}',
        PRIMARY KEY (account_id, mode)
    ) WITH (fillfactor = 50)
    """,
    # Caps and what was used of them are in milli-credits; hour and day count from their first use.
    """
    CREATE TABLE api_keys (
        id text PRIMARY KEY,
        account_id text NOT NULL REFERENCES accounts (id),
        mode text NOT NULL CHECK (mode IN ('test', 'live')),
        name text NOT NULL,
        hash bytea NOT NULL UNIQUE,
        hint text NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        revoked_at timestamptz,
        networks text[] NOT NULL DEFAULT '{}',
        hour_cap bigint, hour_used bigint NOT NULL DEFAULT 0, hour_from timestamptz,
        day_cap bigint, day_used bigint NOT NULL DEFAULT 0, day_from timestamptz,
        total_cap bigint, total_used bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 50)
    """,
    # Rows are never edited. amount is the change of the balance; charge is what a settled task cost in the end.
    """
    CREATE TABLE ledger (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id text NOT NULL,
        mode text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('grant', 'hold', 'settle', 'release', 'refund')),
        amount bigint NOT NULL,
        charge bigint NOT NULL DEFAULT 0,
        task_id text,
        note text,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX ledger_account ON ledger (account_id, mode, id)",
    "CREATE UNIQUE INDEX ledger_one_hold ON ledger (task_id) WHERE kind = 'hold'",
    "CREATE UNIQUE INDEX ledger_one_end ON ledger (task_id) WHERE kind IN ('settle', 'release')",
    """
    CREATE FUNCTION ledger_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'ledger rows are never edited: write a new entry';
    END
    $$
    """,
    "CREATE TRIGGER ledger_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger EXECUTE FUNCTION ledger_is_kept()",
    """
    CREATE TABLE tasks (
        id text PRIMARY KEY,
        account_id text NOT NULL,
        key_id text NOT NULL,
        mode text NOT NULL,
        family text NOT NULL,
        operation text NOT NULL,
        model text NOT NULL,
        request text NOT NULL,
        params text NOT NULL,
        callback_url text,
        fallback text,
        price bigint NOT NULL,
        state text NOT NULL DEFAULT 'waiting'
            CHECK (state IN ('waiting', 'running', 'succeeded', 'failed', 'canceled')),
        progress real NOT NULL DEFAULT 0,
        epoch integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL,
        started_at timestamptz,
        completed_at timestamptz,
        reason text,
        message text
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX tasks_open ON tasks (created_at) WHERE state IN ('waiting', 'running')",
    """
    CREATE TABLE idempotency_keys (
        account_id text NOT NULL,
        mode text NOT NULL,
        key text NOT NULL,
        digest bytea NOT NULL,
        task_id text NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (account_id, mode, key)
    )
    """,
    "CREATE INDEX idempotency_age ON idempotency_keys (created_at)",
    """
    CREATE TABLE attempts (
        task_id text NOT NULL,
        number integer NOT NULL,
        provider text NOT NULL,
        model text NOT NULL,
        idempotency_key text NOT NULL,
        state text NOT NULL,
        upstream_id text,
        created_at timestamptz NOT NULL,
        ended_at timestamptz,
        error text,
        detail json,
        facts json,
        PRIMARY KEY (task_id, number)
    )
    """,
    "CREATE UNIQUE INDEX attempts_upstream ON attempts (provider, upstream_id) WHERE upstream_id IS NOT NULL",
    """
    CREATE TABLE assets (
        key text PRIMARY KEY,
        account_id text NOT NULL,
        task_id text,
        origin text NOT NULL CHECK (origin IN ('output', 'upload')),
        position integer NOT NULL DEFAULT 0,
        media_type text NOT NULL,
        size bigint NOT NULL,
        sha256 text NOT NULL,
        width integer,
        height integer,
        seconds real,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX assets_task ON assets (task_id, position) WHERE task_id IS NOT NULL",
    "CREATE INDEX assets_age ON assets (origin, created_at)",
    # The outbox: written with the end of a task, delivered later.
    """
    CREATE TABLE deliveries (
        id text PRIMARY KEY,
        account_id text NOT NULL,
        task_id text NOT NULL,
        event text NOT NULL,
        url text NOT NULL,
        state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
        created_at timestamptz NOT NULL,
        next_at timestamptz,
        ended_at timestamptz
    )
    """,
    "CREATE INDEX deliveries_task ON deliveries (task_id)",
    """
    CREATE TABLE delivery_attempts (
        delivery_id text NOT NULL,
        number integer NOT NULL,
        at timestamptz NOT NULL,
        seconds real NOT NULL,
        status integer,
        error text,
        excerpt text,
        PRIMARY KEY (delivery_id, number)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
