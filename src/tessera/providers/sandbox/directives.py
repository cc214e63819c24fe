"""What a developer may ask of the sandbox inside a prompt: ``[sandbox: fail=400, delay=2s]``.

Brackets may stand anywhere and more than once; case and white space do not matter; of two that contradict each other
the later one counts.
"""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

LONGEST = timedelta(hours=1)
"""The longest delay; a longer one is cut to it."""

KNOWN = (
    "delay=500ms | delay=20s | delay=2m (up to 1 h), fail=400 | fail=429 | fail=451 | fail=500 | fail=reject | "
    "fail=ambiguous, hang, callback=twice"
)

_BRACKET = re.compile(r"\[\s*sandbox\s*:([^\[\]]*)\]", re.IGNORECASE)
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(ms|s|m)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class Fault(StrEnum):
    """The ways to fail: the first three are verdicts after a while, the others answer the submission itself."""

    CONTENT = "400"
    UNREACHABLE = "451"
    BROKEN = "500"
    BUSY = "429"
    REJECT = "reject"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Directives:
    """``delay`` replaces the usual duration; None keeps it. ``callbacks`` is how often the end is told."""

    delay: timedelta | None = None
    fault: Fault | None = None
    hang: bool = False
    callbacks: int = 1


class UnknownDirectiveError(ValueError):
    """The message names the directive and lists the known ones."""

    def __init__(self, directive: str) -> None:
        super().__init__(f"Unknown sandbox directive '{directive[:80]}'. Known directives: {KNOWN}.")


def parse(prompt: str) -> tuple[str, Directives]:
    """The prompt without its directives, and what they ask for. Raises UnknownDirectiveError."""
    wanted = Directives()
    for bracket in _BRACKET.finditer(prompt):
        for part in bracket[1].split(","):
            wanted = _apply(wanted, " ".join(part.split()))
    return strip(prompt), wanted


def strip(prompt: str) -> str:
    """The prompt as a picture shows it."""
    if not _BRACKET.search(prompt):
        return prompt.strip()
    lines = _BRACKET.sub(" ", prompt).splitlines()
    return "\n".join(" ".join(line.split()) for line in lines).strip()


def _apply(wanted: Directives, directive: str) -> Directives:
    name, _, value = (piece.strip().lower() for piece in directive.partition("="))
    if directive.lower() == "hang":
        return replace(wanted, hang=True)
    if name == "callback" and value == "twice":
        return replace(wanted, callbacks=2)
    if name == "fail" and value in set(Fault):
        return replace(wanted, fault=Fault(value))
    if name == "delay" and (match := _DURATION.fullmatch(value)):
        seconds = float(match[1]) * _SECONDS[match[2]]
        return replace(wanted, delay=min(timedelta(seconds=seconds), LONGEST))
    raise UnknownDirectiveError(directive)
