"""The seam to an endpoint of language models: one verb, and an answer that is read while it is made."""

from collections.abc import AsyncIterator
from typing import Protocol

from tessera.domain.chat import Question, Wire


class Reply(Protocol):
    """An answer that has begun. ``streams`` says that it is a stream of events, otherwise it is one JSON object."""

    @property
    def streams(self) -> bool: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The answer as it comes. Raises Declined where it breaks off."""
        ...

    def close(self) -> None:
        """Stop: whoever makes the answer hears that nobody listens any more."""
        ...


class Chat(Protocol):
    """An endpoint of language models. One instance serves all calls of a process, concurrently."""

    @property
    def name(self) -> str: ...

    @property
    def wires(self) -> frozenset[Wire]:
        """The protocols that it speaks."""
        ...

    async def ask(self, question: Question) -> Reply:
        """Send a question, once. Answers as soon as an answer begins; raises Declined for one that is none."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
