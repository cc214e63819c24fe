"""What commands print for people and for pipes."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tessera.cli import show


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What is written to a terminal of twenty columns, without its colours."""
    file = StringIO()
    monkeypatch.setattr(show, "out", Console(file=file, force_terminal=True, width=20, color_system=None))
    return file


def test_a_narrow_terminal_breaks_no_id_and_no_url(narrow: StringIO) -> None:
    show.table(["id", "credits", "url"], [["k" * 30, "7", "https://example.com/[a]"]], right=frozenset({"credits"}))
    assert narrow.getvalue().splitlines() == [
        f"{'id':<30}  credits  url",
        f"{'k' * 30}        7  https://example.com/[a]",
    ]


def test_columns_stand_in_line_also_with_wide_letters(narrow: StringIO) -> None:
    show.table(["name", "mode"], [["画像", "test"], ["anna", "live"]])
    assert narrow.getvalue().splitlines() == ["name  mode", "画像  test", "anna  live"]


def test_an_empty_table_says_so(narrow: StringIO) -> None:
    show.table(["name"], [])
    assert narrow.getvalue().splitlines() == ["name", "none"]


@pytest.mark.parametrize(("number", "text"), [(0, "0 entries"), (1, "1 entry"), (1204, "1,204 entries")])
def test_a_number_of_things_is_spelled_in_one_way(number: int, text: str) -> None:
    assert show.count(number, "entry", "entries") == text


@pytest.mark.parametrize(
    ("typed", "path", "said"),
    [
        ("bin/tessera", "bin", "tessera"),
        ("bin/tessera", "other", "bin/tessera"),
        ("bin/tessera", "", "bin/tessera"),
        ("cli/main.py", "bin", "tessera"),
    ],
)
def test_the_command_that_is_offered_is_one_that_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, path: str, said: str
) -> None:
    for folder in ("bin", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tessera").touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / path) if path else "")
    monkeypatch.setattr("sys.argv", [typed])
    assert show.program() == said
