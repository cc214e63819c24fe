"""Suno: songs in stages, and all that can be done with them. ``/api/v1/generate`` and its neighbours."""

from collections.abc import Callable, Mapping

from tessera.dialects.base import Link, Route
from tessera.dialects.suno import recovery, songs, stages, voices, words, works
from tessera.dialects.suno.terms import MODELS, NAME
from tessera.domain.task import Task

TOLD: Mapping[str, Callable[[Task, Link], object]] = {
    "music.wav": works.wav_told,
    "music.stems": works.stems_told,
    "music.midi": works.midi_told,
    "video.clip": works.video_told,
    "music.art": works.cover_told,
    "music.lyrics": words.lyrics_told,
    voices.PHRASE: voices.phrase_told,
    voices.VOICE: voices.voice_told,
    recovery.RECOVER: recovery.record,
}
"""The callback of each operation that makes no songs."""


class Suno:
    name = NAME
    models = MODELS
    routes: tuple[Route, ...] = (
        *songs.ROUTES,
        *words.ROUTES,
        *works.ROUTES,
        *voices.ROUTES,
        *recovery.ROUTES,
    )

    def callback(self, task: Task, link: Link) -> object:
        """The whole body: of songs at each of their stages, of all else at its end."""
        return TOLD.get(task.operation, stages.callback)(task, link)


family = Suno()
