"""The rule of the schema: expand in one release, contract in a later one. Held by the SQL that migrations render."""

import importlib.util
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

from tessera.db.facts import SCHEMA_MINIMUM
from tessera.db.migrate import MIGRATIONS, Queue, Standing, Unfit, head, names

# ---- what a migration is ----


@dataclass(frozen=True)
class Migration:
    """A migration and every statement that it runs, each on one line without its semicolon."""

    revision: str
    before: str | None
    release: tuple[int, ...]
    unused: tuple[str, ...]
    statements: tuple[str, ...]

    @property
    def needs(self) -> str | None:
        """What a contract says that programs have to know; None for an expand."""
        found = CONTRACT.fullmatch(self.statements[0]) if self.statements else None
        return found["needs"] if found else None


def read(module: ModuleType) -> Migration:
    """Render a migration as PostgreSQL's dialect has it; what needs a connection to be told, fails."""
    said: list[str] = []
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True})
    context.impl.static_output = said.append  # type: ignore[method-assign,assignment]
    with Operations.context(context):
        module.upgrade()
    return Migration(
        revision=module.revision,
        before=module.down_revision,
        release=tuple(int(number) for number in module.release.split(".")),
        unused=tuple(getattr(module, "unused", ())),
        statements=tuple(line for line in map(plain, said) if line not in ("BEGIN", "COMMIT")),
    )


def plain(statement: str) -> str:
    return " ".join(statement.split()).rstrip("; ")


def load(path: Path) -> Migration:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return read(module)


HISTORY = [load(MIGRATIONS / "versions" / f"{name}.py") for name in names()]

# ---- the rule ----

I = re.IGNORECASE  # noqa: E741
NAME = r'"?(?P<name>\w+)"?'
CONTRACT = re.compile(
    rf"INSERT INTO facts \(name, value\) VALUES \('{SCHEMA_MINIMUM}', '(?P<needs>\d{{4}})'\) "
    r"ON CONFLICT \(name\) DO UPDATE SET value = greatest\(facts\.value, excluded\.value\)"
)
TABLE = re.compile(rf"CREATE TABLE (?P<again>IF NOT EXISTS )?{NAME} ?\((?P<body>.*)\).*", I)
INDEX = re.compile(
    r"CREATE (?P<unique>UNIQUE )?INDEX (?P<concurrently>CONCURRENTLY )?(?P<again>IF NOT EXISTS )?"
    rf'{NAME} ON "?(?P<table>\w+)"? ?.*',
    I,
)
NO_INDEX = re.compile(rf"DROP INDEX (?P<concurrently>CONCURRENTLY )?(?P<again>IF EXISTS )?{NAME}", I)
NO_TABLE = re.compile(rf"DROP TABLE (?P<again>IF EXISTS )?{NAME}", I)
ALTER = re.compile(r'ALTER TABLE (IF EXISTS )?(ONLY )?"?(?P<table>\w+)"? (?P<actions>.+)', I)
ADD = re.compile(rf"ADD COLUMN (?P<again>IF NOT EXISTS )?{NAME} (?P<rest>.+)", I)
TAKE = re.compile(
    r'(?:DROP COLUMN (?:IF EXISTS )?|RENAME (?:COLUMN )?(?!TO\b)|ALTER (?:COLUMN )?)"?(?P<column>\w+)"?.*'
    r'|DROP CONSTRAINT (?:IF EXISTS )?"?(?P<constraint>\w+)"?.*'
    r"|(?P<all>RENAME TO .+)",
    I,
)
BOUND = re.compile(r"\b(UNIQUE|PRIMARY KEY|REFERENCES|CHECK|GENERATED|EXCLUDE|(?:big|small)?serial)\b", I)
CONSTANT = re.compile(r"\bDEFAULT (-?\d+(\.\d+)?|'[^']*'(::\w+(\[\])?)?|true|false|null)(?= |$)", I)


@dataclass
class Known:
    """What stands in the schema before a migration, as far as the rule asks for it."""

    unique: set[str] = field(default_factory=set)
    unused: dict[str, Migration] = field(default_factory=dict)
    earlier: dict[str, Migration] = field(default_factory=dict)

    def learn(self, migration: Migration) -> None:
        self.earlier[migration.revision] = migration
        for name in migration.unused:
            self.unused.setdefault(name, migration)
        found = filter(None, map(INDEX.fullmatch, migration.statements))
        self.unique |= {index["name"] for index in found if index["unique"]}


def faults(history: Sequence[Migration]) -> Iterator[str]:
    """What is against the rule, a sentence each. The first migration stands outside: before it there is nobody."""
    known, last = Known(), None
    for migration in history:
        if last is not None:
            if migration.before != last.revision or migration.revision <= last.revision:
                yield f"{migration.revision} does not follow {last.revision}"
            if migration.release < last.release:
                yield f"{migration.revision} is of an earlier release than {last.revision}"
            yield from (f"{migration.revision}: {fault}" for fault in _faults(migration, known))
        known.learn(migration)
        last = migration


def _faults(migration: Migration, known: Known) -> Iterator[str]:
    if migration.needs is not None:
        yield from _unready(migration, known)
    fresh = {found["name"] for found in map(TABLE.fullmatch, migration.statements) if found}
    for statement in migration.statements[migration.needs is not None :]:
        taken, wrong = _look(statement, fresh, known)
        yield from wrong
        for name in taken:
            if migration.needs is None:
                yield f"only a contract may take {name}: {statement}"
            elif name not in known.unused:
                yield f"no earlier migration declares {name} as unused"
            elif known.unused[name].release >= migration.release:
                yield f"{name} was declared as unused by the same release: contract in a later one"
            elif known.unused[name].revision > migration.needs:
                yield f"{name} is unused since {known.unused[name].revision} only: say needs={name!r}"


def _unready(migration: Migration, known: Known) -> Iterator[str]:
    needs = known.earlier.get(migration.needs or "")
    if needs is None:
        yield f"needs {migration.needs}, which is no earlier migration"
    elif needs.release >= migration.release:
        yield f"needs {needs.revision} of the same release: no gateway could be upgraded without a stop"


def _look(statement: str, fresh: set[str], known: Known) -> tuple[list[str], list[str]]:
    """What a statement takes from the programs before it, by name; and what is wrong with it in any migration."""
    if ";" in re.sub(r"'[^']*'", "", statement):
        return [], [f"one statement at a time: {statement}"]
    if found := TABLE.fullmatch(statement):
        return [], [*_again(found), *(["a new table must not bind an old one"] if _binds(found["body"], fresh) else [])]
    if found := INDEX.fullmatch(statement):
        return [], _index_faults(found, fresh)
    if found := NO_INDEX.fullmatch(statement):
        wrong = _again(found) + ([] if found["concurrently"] else [f"an index is dropped CONCURRENTLY: {statement}"])
        return ([found["name"]] if found["name"] in known.unique else []), wrong
    if found := NO_TABLE.fullmatch(statement):
        return [found["name"]], _again(found)
    if found := ALTER.fullmatch(statement):
        looks = [_action(found["table"], action) for action in split(found["actions"])]
        return [name for taken, _ in looks for name in taken], [text for _, wrong in looks for text in wrong]
    return [], [f"the rule does not know this statement: {statement}"]


def _again(found: re.Match[str]) -> list[str]:
    return [] if found["again"] else [f"it cannot be run again after an interruption: {found[0]}"]


def _binds(body: str, fresh: set[str]) -> bool:
    return any(table not in fresh for table in re.findall(r'\bREFERENCES "?(\w+)', body, I))


def _index_faults(found: re.Match[str], fresh: set[str]) -> list[str]:
    if found["table"] in fresh:
        return _again(found)
    wrong = _again(found)
    if not found["concurrently"]:
        wrong.append(f"an index on a table that was there is built CONCURRENTLY: {found[0]}")
    if found["unique"]:
        wrong.append(f"a unique index forbids what programs before it may write: {found[0]}")
    return wrong


def _action(table: str, action: str) -> tuple[list[str], list[str]]:
    if found := ADD.fullmatch(action):
        rest, wrong = found["rest"], _again(found)
        if BOUND.search(rest):
            wrong.append(f"a new column must be free: {action}")
        if re.search(r"\bDEFAULT\b", rest, I) and not CONSTANT.search(rest):
            wrong.append(f"a default that is no constant rewrites the table: {action}")
        if re.search(r"\bNOT NULL\b", rest, I) and not CONSTANT.search(rest):
            wrong.append(f"programs before it leave the new column out: {action}")
        return [], wrong
    if found := TAKE.fullmatch(action):
        column = found["column"]
        return [table if found["all"] else found["constraint"] or f"{table}.{column}"], []
    return [], [f"the rule does not know this change of a table: {action}"]


def split(actions: str) -> list[str]:
    """Divide at the commas that stand in no parentheses and no quotes."""
    parts, depth, quoted = [""], 0, False
    for letter in actions:
        quoted ^= letter == "'"
        depth += 0 if quoted else (letter == "(") - (letter == ")")
        if letter == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


# ---- held over our own, and shown to bite ----


def test_every_migration_keeps_the_rule() -> None:
    assert list(faults(HISTORY)) == []
    assert [migration.revision for migration in HISTORY] == [name[:4] for name in names()]
    assert all(migration.statements for migration in HISTORY), "a migration that renders nothing cannot be judged"


def write(folder: Path, revision: str, before: str, release: str, body: str, unused: str = "()") -> Migration:
    path = folder / f"{revision}_doctored.py"
    path.write_text(
        "import sqlalchemy as sa\nfrom alembic import op\nfrom tessera.db.migrations import schema\n"
        f"revision, down_revision, release, unused = {revision!r}, {before!r}, {release!r}, {unused}\n"
        f"def upgrade() -> None:\n    {body}\n"
    )
    return load(path)


GOOD = [
    'schema.add_columns("tasks", "a text", "b integer NOT NULL DEFAULT 0", "c text[] DEFAULT \'{}\'::text[]")',
    'schema.add_columns("tasks", "c timestamptz", "amount numeric(10, 2) DEFAULT -1.5")',
    'schema.add_table("rooms", "id text PRIMARY KEY, n integer CHECK (n > 0)")',
    'schema.add_table("a", "id text PRIMARY KEY"); schema.add_table("b", "a text REFERENCES a (id)")',
    'schema.add_table("a", "id text"); schema.run("CREATE UNIQUE INDEX IF NOT EXISTS a_id ON a (id)")',
    'schema.add_index("tasks_model", "tasks (model) WHERE state = \'waiting\'")',
    'schema.drop_index("tasks_ended")',
]

BAD = {
    "an index that holds up writers": 'op.create_index("i", "tasks", ["model"])',
    "the same in plain SQL": 'op.execute("CREATE INDEX IF NOT EXISTS i ON tasks (model)")',
    "an index that cannot be built again": 'op.execute("CREATE INDEX CONCURRENTLY i ON tasks (model)")',
    "a unique index": 'schema.add_index("i", "tasks (model)", unique=True)',
    "a drop that holds up writers": 'op.drop_index("tasks_ended")',
    "the drop of a unique index": 'schema.drop_index("ledger_one_hold")',
    "the drop of a column": 'schema.drop_columns("tasks", "fallback")',
    "the same by Alembic": 'op.drop_column("tasks", "fallback")',
    "the drop of a table": 'schema.drop_table("deliveries")',
    "the rename of a column": 'op.alter_column("tasks", "model", new_column_name="kind")',
    "the rename of a table": 'op.rename_table("tasks", "jobs")',
    "another type": 'op.alter_column("tasks", "progress", type_=sa.Integer())',
    "what must not be null": 'op.alter_column("tasks", "reason", nullable=False)',
    "another default": 'schema.run("ALTER TABLE tasks ALTER COLUMN state DROP DEFAULT")',
    "the drop of a constraint": 'schema.run("ALTER TABLE tasks DROP CONSTRAINT tasks_state_check")',
    "a new constraint": 'schema.run("ALTER TABLE tasks ADD CONSTRAINT c CHECK (price > 0) NOT VALID")',
    "a new column without a default": 'schema.add_columns("tasks", "a text NOT NULL")',
    "a default that differs by row": 'schema.add_columns("tasks", "a uuid DEFAULT gen_random_uuid()")',
    "a default of the moment": 'schema.add_columns("tasks", "a timestamptz NOT NULL DEFAULT now()")',
    "a column that binds": 'schema.add_columns("tasks", "a text REFERENCES accounts (id)")',
    "a unique column": 'schema.add_columns("tasks", "a text UNIQUE")',
    "a number that counts": 'schema.add_columns("tasks", "a bigserial")',
    "one bad column of two": 'schema.add_columns("tasks", "a text", "b text CHECK (b <> \'\')")',
    "a column that cannot be added again": 'op.add_column("tasks", sa.Column("a", sa.Text()))',
    "a table that cannot be added again": 'op.execute("CREATE TABLE rooms (id text)")',
    "a table that binds an old one": 'schema.add_table("rooms", "id text REFERENCES tasks (id)")',
    "a change of every row": "op.execute(\"UPDATE tasks SET reason = 'x'\")",
    "a trigger": 'op.execute("CREATE TRIGGER t BEFORE INSERT ON tasks EXECUTE FUNCTION f()")',
    "a lock": 'op.execute("LOCK TABLE tasks")',
    "two in one": 'op.execute("CREATE TABLE IF NOT EXISTS a (b text); DROP TABLE tasks")',
    "two in one column": 'schema.add_columns("tasks", "a text; DROP TABLE tasks")',
}


@pytest.mark.parametrize("body", GOOD)
def test_an_expand_may_add(tmp_path: Path, body: str) -> None:
    assert list(faults([*HISTORY, write(tmp_path, "9001", head(), "9.0", body)])) == []


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_an_expand_may_neither_take_nor_hold_up(tmp_path: Path, body: str) -> None:
    assert list(faults([*HISTORY, write(tmp_path, "9001", head(), "9.0", body)]))


def test_what_needs_a_connection_to_be_told_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        write(tmp_path, "9001", head(), "9.0", 'op.get_bind().exec_driver_sql("DROP TABLE tasks")')


DROPS = [
    ('schema.drop_columns("tasks", "fallback")', "tasks.fallback"),
    ('schema.drop_table("deliveries")', "deliveries"),
    ('schema.drop_index("ledger_one_hold")', "ledger_one_hold"),
    ('op.alter_column("tasks", "reason", nullable=False)', "tasks.reason"),
    ('op.alter_column("tasks", "model", new_column_name="kind")', "tasks.model"),
    ('op.rename_table("tasks", "jobs")', "tasks"),
    ('schema.run("ALTER TABLE tasks DROP CONSTRAINT IF EXISTS tasks_state_check")', "tasks_state_check"),
]

ADD_A = 'schema.add_columns("tasks", "a text")'


@pytest.mark.parametrize(("body", "name"), DROPS, ids=[name for _, name in DROPS])
def test_a_contract_takes_what_an_earlier_release_declared(tmp_path: Path, body: str, name: str) -> None:
    def judged(
        unused: str = f"({name!r},)",
        *,
        said: str = "9.0",
        drops: str = "9.1",
        begin: str = 'schema.contract(needs="9001"); ',
    ) -> list[str]:
        declared = write(tmp_path, "9001", head(), said, ADD_A, unused)
        return list(faults([*HISTORY, declared, write(tmp_path, "9002", "9001", drops, begin + body)]))

    assert judged() == []
    assert judged("()"), "nobody declared it"
    assert judged(drops="9.0"), "the same release declared it"
    assert judged(begin=""), "it does not say that it is a contract"
    assert judged(begin=f'schema.contract(needs="{head()}"); '), "programs that use it would still start"
    assert judged(begin='schema.contract(needs="9002"); '), "it needs itself"


def test_a_contract_builds_indexes_no_other_way(tmp_path: Path) -> None:
    declared = write(tmp_path, "9001", head(), "9.0", ADD_A)
    body = 'schema.contract(needs="9001"); op.create_index("i", "tasks", ["model"])'
    assert list(faults([*HISTORY, declared, write(tmp_path, "9002", "9001", "9.1", body)]))


@pytest.mark.parametrize(
    ("revision", "before", "release"), [("9001", "0001", "9.0"), ("9001", head(), "0.0.1"), ("0000", head(), "9.0")]
)
def test_the_history_is_one_line(tmp_path: Path, revision: str, before: str, release: str) -> None:
    assert list(faults([*HISTORY, write(tmp_path, revision, before, release, ADD_A)]))


# ---- who fits on a schema ----


async def _nothing(connection: object) -> None: ...


@pytest.mark.parametrize(
    ("revision", "minimum", "queue", "fits"),
    [
        (None, None, None, True),
        ("0001", None, "1.6.0", True),
        (head(), None, "1.6.0", True),
        ("9999", None, "1.6.0", True),
        ("9999", head(), "1.6.0", True),
        ("9999", "9998", "1.6.0", False),
        (head(), None, "1.10.0", True),
        (head(), None, "2.0.0", False),
        (head(), None, "0.9", True),
    ],
)
def test_a_program_fits_on_a_newer_schema_until_a_contract_says_otherwise(
    revision: str | None, minimum: str | None, queue: str | None, fits: bool
) -> None:
    found, ours = Standing(revision=revision, minimum=minimum, queue=queue), Queue("1.6.0", _nothing)
    if fits:
        found.check(ours)
        return
    with pytest.raises(Unfit, match="Install the newer Tessera"):
        found.check(ours)


@pytest.mark.parametrize(
    ("queue", "ours", "pending"), [("1.9.0", "1.10.0", True), ("1.10.0", "1.9.0", False), ("1.9.0", "1.9.0", False)]
)
def test_a_queue_is_upgraded_and_never_downgraded(queue: str, ours: str, pending: bool) -> None:
    found = Standing(revision="9999", minimum=None, queue=queue)
    assert bool(found.pending(Queue(ours, _nothing))) is pending
