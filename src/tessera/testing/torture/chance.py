"""Chance that is the same for the same seed, whatever the timing: it depends on what it is asked about, not on when."""

from collections.abc import Iterable
from hashlib import sha256


class Chance:
    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __call__(self, *about: object) -> float:
        """A number in 0..1 for these words."""
        text = "\n".join(map(str, (self._seed, *about)))
        return int.from_bytes(sha256(text.encode()).digest()[:8]) / 2**64

    def pick(self, table: Iterable[tuple[str, float]], usual: str, *about: object) -> str:
        """One of the table's names, each with its share of 1; ``usual`` where the shares leave room."""
        left = self(*about)
        for name, share in table:
            left -= share
            if left < 0:
                return name
        return usual
