"""``docs/compatibility.md``: what a sweep saw, as a page. The rows of a quick sweep are among those of a whole one."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from tests.wire.sweep.documents import DOCUMENTS, Operation, operations
from tests.wire.sweep.plans import plan
from tests.wire.sweep.reasons import UNPROVOKED, why
from tests.wire.sweep.run import Line

PLACE = Path(__file__).parents[3] / "docs" / "compatibility.md"

UNEXPLAINED = "**not explained**"

HEAD = """# Compatibility

This page is written by a program (`make compatibility`), and a test holds it. The program sends every example of the
documents in `tests/wire/contract/documents` to a running gateway with the sandbox, follows each task by the record of
its family, receives its callbacks, and provokes the refusals. It holds every answer, record and callback against the
document's schema, looks for every field that the document shows, follows every link, and checks every signature.

An example gets what it refers to: earlier tasks, files, an address for callbacks; points in time lie within songs of
some 20 seconds. In the tables *200* is the code in the body; where the HTTP status says something too, it stands beside
it. *Record* is what the record says in the end, *callbacks* are the codes of those that came.
"""


def write(lines: Sequence[Line]) -> str:
    """The whole page."""
    by_operation = {id_: list(found) for id_, found in groupby(lines, key=lambda line: line.operation)}
    every = [operation for document in DOCUMENTS for operation in operations(document)]
    parts = [HEAD, *_summary(every, by_operation), *_deviations(lines), *_codes()]
    states = _states(lines)
    for document, title in DOCUMENTS.items():
        parts.append(f"\n## {title}\n")
        parts += [
            _operation(each, by_operation.get(each.id, []), states.get(each.id, ())) for each in operations(document)
        ]
    return "\n".join(parts)


def rows(page: str) -> dict[str, set[str]]:
    """The rows of a page by the heading over them."""
    found: dict[str, set[str]] = {}
    heading = ""
    for line in page.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("| ") and not line.startswith(("| sent", "| ---")):
            found.setdefault(heading, set()).add(line)
    return found


def heading(operation: Operation) -> str:
    return f"`{operation.method.upper()} {operation.path}`"


def table(lines: Iterable[Line]) -> list[str]:
    """What an operation was sent and what came; refusals that went the same way share a row."""
    found = [f"| {line.sent} | {line.came} | {_verdict(line)} |" for line in lines if not line.refusal]
    alike: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if line.refusal:
            alike.setdefault((line.came, _verdict(line)), []).append(line.sent)
    return found + [f"| {'; '.join(sent)} | {came} | {verdict} |" for (came, verdict), sent in alike.items()]


def _verdict(line: Line) -> str:
    """Empty is as documented."""
    return "; ".join(_plain(each) for each in line.wrong)


def _plain(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")


def _states(lines: Iterable[Line]) -> dict[str, list[str]]:
    """By record, the states in which the tasks were that it shows."""
    found: dict[str, set[str]] = {}
    for line in lines:
        record, said = plan(line.operation).record, re.search(r"\brecord ([^;]+)", line.came)
        if record and said:
            found.setdefault(record, set()).add(said[1])
    return {record: sorted(states) for record, states in found.items()}


def _operation(operation: Operation, lines: list[Line], states: Sequence[str]) -> str:
    unseen = sorted(operation.codes - _seen(lines) - ({200} if states else set()))
    return "\n".join(
        [
            f"### {heading(operation)}\n",
            "| sent | came | not as documented |",
            "| --- | --- | --- |",
            *table(lines),
            "",
            *([f"States seen: {'; '.join(states)}.\n"] if states else []),
            *([f"Not provoked: {', '.join(map(str, unseen))}.\n"] if unseen else []),
        ]
    )


def _seen(lines: Iterable[Line]) -> set[int]:
    return {int(code) for line in lines for code in re.findall(r"\b[2-5]\d\d\b", line.came)}


def _summary(every: Sequence[Operation], lines: Mapping[str, list[Line]]) -> Iterator[str]:
    unserved = [each for each in every if any("is not served" in line.wrong for line in lines.get(each.id, ()))]
    yield f"{len(every) - len(unserved)} of {len(every)} operations of the documents are served.\n"
    yield from (f"- not served: {heading(each)}" for each in unserved)
    yield "| group | operations | tried | not as documented |\n| --- | --- | --- | --- |"
    for document, title in DOCUMENTS.items():
        ids = [each.id for each in operations(document)]
        tried = [line for id_ in ids for line in lines.get(id_, ())]
        yield f"| {title} | {len(ids)} | {len(tried)} | {sum(bool(line.wrong) for line in tried)} |"


def _deviations(lines: Iterable[Line]) -> Iterator[str]:
    yield "\n## Not as documented, and why\n"
    reasons: dict[str, dict[str, None]] = {}
    for line in lines:
        for wrong in line.wrong:
            reason = why(line.operation, line.sent, wrong)
            said = reason or f"{UNEXPLAINED}: {line.sent}: {_plain(wrong)}"
            reasons.setdefault(said, {})[line.operation] = None
    for said, where in reasons.items():
        yield f"- {said} ({_names(list(where))})"


def _names(ids: Sequence[str]) -> str:
    shown = ", ".join(f"`{each}`" for each in ids[:4])
    return shown if len(ids) <= 4 else f"{shown} and {len(ids) - 4} more"


def _codes() -> Iterator[str]:
    yield "\n## Codes that were not provoked\n"
    yield "Under an operation stand the codes that its document lists and that the sweep did not meet.\n"
    yield from (f"- {code}: {reason}." for code, reason in UNPROVOKED.items())
