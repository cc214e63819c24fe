"""Voices and sounds: spoken, made, cleaned and listened to."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from tessera.domain.errors import Rejected
from tessera.domain.task import Json, Piece, Reason, SpeechRequest
from tessera.providers.base import Job, LocalFile
from tessera.providers.sandbox import tape
from tessera.providers.sandbox.makers.base import MISSING, Made, Work, seed, source, together
from tessera.providers.sandbox.tape import Recording

MOST = 20_000
"""Characters that are spoken at most."""

_LISTENING = frozenset({"speech.isolate", "speech.transcribe"})


class Voices:
    @property
    def operations(self) -> frozenset[str]:
        return frozenset(_MAKE)

    def stages(self, job: Job) -> tuple[tuple[float, str], ...]:
        return ()

    async def check(self, work: Work) -> None:
        if not tape.available():
            raise Rejected(MISSING)
        if work.job.operation in _LISTENING and not work.job.of("audio"):
            raise Rejected("This needs a recording to listen to", reason=Reason.INPUT_INVALID)
        if sum(len(line.text) for line in _lines(work)) > MOST:
            raise Rejected(f"The sandbox speaks up to {MOST} characters", reason=Reason.INPUT_INVALID)

    async def make(self, work: Work, stage: str | None) -> Made:
        return await _MAKE[work.job.operation](work)


def _request(work: Work) -> SpeechRequest:
    assert isinstance(work.request, SpeechRequest)  # that is what these operations come with
    return work.request


def _lines(work: Work) -> tuple[tape.Line, ...]:
    request = _request(work)
    said = [(line.text, line.voice or request.voice) for line in request.lines] or [(request.prompt, request.voice)]
    speakers = {voice: f"speaker_{index}" for index, voice in enumerate(dict.fromkeys(voice for _, voice in said))}
    return tuple(
        tape.Line(text=text, voice=voice, speaker=speakers[voice], speed=request.speed) for text, voice in said
    )


def _form(request: SpeechRequest) -> str:
    return request.format if "_" in request.format else tape.MP3


async def _say(work: Work) -> Made:
    made = await work.cpu.run(tape.say, _lines(work), seed(work), work.job.workdir, "sandbox-1", _form(_request(work)))
    return _spoken(made)


async def _sound(work: Work) -> Made:
    request = _request(work)
    order = tape.Sounds(prompt=request.prompt, seconds=request.seconds, loop=request.loop, seed=seed(work))
    made = await together(
        work.cpu.run(
            tape.effect,
            replace(order, seed=seed(work) + index),
            work.job.workdir,
            f"sandbox-{index + 1}",
            _form(request),
        )
        for index in range(request.count)
    )
    pieces = tuple(
        Piece(files={"audio": index}, facts={"seconds": round(each.seconds, 2)}) for index, each in enumerate(made)
    )
    return Made(outputs=tuple(LocalFile(path=each.path) for each in made), pieces=pieces)


async def _isolate(work: Work) -> Made:
    made = await work.cpu.run(tape.isolate, source(work), work.job.workdir, "sandbox-1")
    return _spoken(made)


async def _transcribe(work: Work) -> Made:
    """The words of a recording, in the shape that speech-to-text services answer."""
    heard = await work.cpu.run(tape.transcribe, source(work))
    words: list[Json] = [
        {"text": word.text, "start": word.start, "end": word.end, "type": "word", "speaker_id": word.speaker or None}
        for word in heard.words
    ]
    facts: dict[str, Json] = {
        "text": heard.text,
        "words": words,
        "seconds": heard.seconds,
        "language_code": _request(work).language or "eng",
        "language_probability": 1.0 if heard.known else 0.0,
    }
    return Made(pieces=(Piece(facts=facts),))


def _spoken(made: Recording) -> Made:
    words: list[Json] = [{"text": word.text, "start": word.start, "end": word.end} for word in made.words]
    piece = Piece(files={"audio": 0}, facts={"seconds": round(made.seconds, 2), "words": words})
    return Made(outputs=(LocalFile(path=made.path),), pieces=(piece,))


_MAKE: Mapping[str, Callable[[Work], Awaitable[Made]]] = {
    "speech.generate": _say,
    "speech.dialogue": _say,
    "speech.sound": _sound,
    "speech.isolate": _isolate,
    "speech.transcribe": _transcribe,
}
