"""One byte range of a file (RFC 9110 §14). Several at once are answered with the whole file, as the RFC allows."""

import re

RANGE = re.compile(r"^bytes=\s*(?P<first>\d{0,18})-(?P<last>\d{0,18})\s*$")


class Unsatisfiable(ValueError):
    """The range lies outside of the file."""


def pick(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of the range that the header asks for; None for the whole file.

    Raises Unsatisfiable. A header that is no range is ignored.
    """
    found = RANGE.match(header or "")
    if found is None or not (found["first"] or found["last"]):
        return None
    if not found["first"]:
        length = int(found["last"])
        if length == 0 or size == 0:
            raise Unsatisfiable(header)
        return max(0, size - length), size
    start = int(found["first"])
    last = int(found["last"]) if found["last"] else size - 1
    if found["last"] and last < start:
        return None
    if start >= size:
        raise Unsatisfiable(header)
    return start, min(last + 1, size)
