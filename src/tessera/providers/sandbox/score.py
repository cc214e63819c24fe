"""A song on paper: from an order to notes. Plain data and plain Python; sound is made of it elsewhere.

Time is counted in ticks, ``PPQ`` to the quarter; ``Score.at`` turns them into seconds, by the very tempo that stands in
the MIDI file, so that sound, notes and the times of the words agree.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from tessera.providers.sandbox import lyrics, styles
from tessera.providers.sandbox.canvas import chance
from tessera.providers.sandbox.phonemes import Syllable, speak
from tessera.providers.sandbox.styles import Plan

PPQ = 480
SHORTEST, LONGEST, USUAL = 5.0, 360.0, 60.0
"""Seconds: the bounds of a song, and the length of one that names none and has no lyrics."""

_SUNG_FROM, _SUNG_TO = 30.0, 120.0
"""A song with lyrics that names no length takes what they need, within these."""

_TAIL = 1.6
"""Seconds in which the last chord may ring out."""

STEMS = (
    "Vocals", "Backing Vocals", "Drums", "Bass", "Guitar", "Keyboard", "Percussion", "Strings", "Synth", "FX", "Brass",
    "Woodwinds",
)  # fmt: skip
"""The families that a song is made of; a song has some of them."""

PLAYERS: dict[str, tuple[int, str, float, float]] = {
    "piano": (0, "Keyboard", 1.0, -0.15),
    "epiano": (4, "Keyboard", 0.95, 0.15),
    "organ": (16, "Keyboard", 0.6, -0.2),
    "acoustic_guitar": (25, "Guitar", 0.9, 0.3),
    "electric_guitar": (29, "Guitar", 0.55, -0.35),
    "banjo": (105, "Guitar", 0.6, 0.35),
    "guzheng": (107, "Guitar", 0.85, -0.25),
    "harp": (46, "Strings", 0.8, 0.3),
    "strings": (48, "Strings", 0.55, 0.1),
    "violin": (40, "Strings", 0.75, -0.1),
    "cello": (42, "Strings", 0.65, 0.2),
    "erhu": (110, "Strings", 0.75, 0.05),
    "flute": (73, "Woodwinds", 0.75, 0.1),
    "clarinet": (71, "Woodwinds", 0.7, -0.1),
    "saxophone": (66, "Woodwinds", 0.7, 0.1),
    "harmonica": (22, "Woodwinds", 0.6, -0.1),
    "trumpet": (56, "Brass", 0.6, -0.1),
    "brass": (61, "Brass", 0.6, 0.15),
    "horn": (60, "Brass", 0.6, -0.2),
    "choir": (52, "Backing Vocals", 0.5, 0.0),
    "bells": (9, "Percussion", 0.55, 0.3),
    "vibraphone": (11, "Percussion", 0.75, -0.2),
    "synth_lead": (81, "Synth", 0.55, 0.05),
    "synth_keys": (62, "Synth", 0.5, -0.2),
    "pluck": (80, "Synth", 0.55, 0.3),
    "pad": (89, "Synth", 0.45, 0.0),
    "bass": (33, "Bass", 1.15, 0.0),
    "double_bass": (32, "Bass", 1.2, 0.0),
    "synth_bass": (38, "Bass", 0.95, 0.0),
    "sub": (39, "Bass", 1.15, 0.0),
    "drums": (0, "Drums", 1.0, 0.0),
    "percussion": (0, "Percussion", 0.7, 0.2),
    "fx": (97, "FX", 0.5, 0.0),
    "voice": (54, "Vocals", 1.25, 0.0),
    "backing": (53, "Backing Vocals", 0.6, -0.3),
}
"""What an instrument is: General MIDI program (from 0), stem, level, place from left (-1) to right (1)."""

_CHORDAL = frozenset(
    str.split(
        "piano epiano organ acoustic_guitar electric_guitar banjo guzheng harp strings choir bells "
        "vibraphone synth_keys pluck pad"
    )
)
_NATURAL = {"guzheng": "arp", "harp": "arp", "strings": "pad", "choir": "pad", "pad": "pad", "bells": "arp",
    "pluck": "arp",
            "banjo": "arp", "electric_guitar": "strum", "acoustic_guitar": "arp"}  # fmt: skip

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_MAJOR_TURNS = ("1564", "1645", "6415", "1465", "1425", "4156", "1364")
_MINOR_TURNS = ("1637", "1465", "1765", "1645", "1473", "6715", "1634")
_JAZZ_TURNS = ("2516", "1625", "3625", "1425")
_BLUES = "111144115415"

KICK, RIM, SNARE, CLAP, HAT, PEDAL, TOM, OPEN, CRASH, RIDE = 36, 37, 38, 39, 42, 44, 45, 46, 49, 51
TAMBOURINE, SHAKER, CONGA, TAIKO = 54, 70, 63, 41

DRUMS: dict[str, dict[int, str]] = {
    "pop": {KICK: "x.....o.x.......", SNARE: "....x.......x...", HAT: "x.o.x.o.x.o.x.o.", SHAKER: "o.o.o.o.o.o.o.o."},
    "rock": {KICK: "x......xx.x.....", SNARE: "....x.......x...", HAT: "x.o.x.o.x.o.x.o."},
    "metal": {KICK: "x.xxx.xxx.xxx.xx", SNARE: "....x.......x...", RIDE: "x...x...x...x..."},
    "punk": {KICK: "x...x.x.x...x.x.", SNARE: "..x...x...x...x.", HAT: "x.x.x.x.x.x.x.x."},
    "brush": {KICK: "o.......o.......", RIM: "....o.......o...", SHAKER: "o.o.o.o.o.o.o.o."},
    "train": {KICK: "x...o...x...o...", SNARE: "..o.x.o...o.x.oo", TAMBOURINE: "....o.......o..."},
    "shuffle": {KICK: "x.......x.o.....", SNARE: "....x.......x...", RIDE: "x.o.x.o.x.o.x.o."},
    "swing": {KICK: "o.......o.......", PEDAL: "....x.......x...", RIDE: "x...x.o.x...x.o.", SNARE: "......,.......,."},
    "bossa": {KICK: "x..ox..ox..ox..o", RIM: "x..x...x..x..x..", SHAKER: "o,o,o,o,o,o,o,o,"},
    "soul": {
        KICK: "x......x..x.....",
        SNARE: "....x..,.,..x...",
        HAT: "x.o.x.o.x.o.x.o.",
        TAMBOURINE: "....o.......o...",
    },
    "funk": {KICK: "x..x..o...x..o..", SNARE: "....x..,.,..x..,", HAT: "xoo.xooox.ooxoo.", CONGA: "..o...o..o....o."},
    "house": {KICK: "x...x...x...x...", CLAP: "....x.......x...", OPEN: "..x...x...x...x.", SHAKER: "oooooooooooooooo"},
    "techno": {KICK: "x...x...x...x...", HAT: "..x...x...x...x.", CLAP: "....o.......o...", SHAKER: "o,o,o,o,o,o,o,o,"},
    "reggae": {KICK: "........x.......", RIM: "........x.......", HAT: "o.x.o.x.o.x.o.x.", CONGA: "......o.......oo"},
    "hiphop": {KICK: "x..o...o..x.....", SNARE: "....x.......x...", HAT: "x.o.x.o.x.o.x.oo"},
    "trap": {KICK: "x......o..x.....", CLAP: "........x.......", HAT: "x.x.x.xxx.x.xoxo", RIM: "...........o...."},
    "lofi": {KICK: "x......o.o......", SNARE: "....o.......o...", HAT: "o.,.o.,.o.,.o.,.", SHAKER: "..,...,...,...,."},
    "dnb": {KICK: "x.........x.....", SNARE: "....x..,.,..x...", HAT: "x.o.x.o.x.o.x.o."},
    "epic": {TAIKO: "x..o..x.x..o..oo", KICK: "x.......x.......", CRASH: "................"},
    "soft": {KICK: "x.........o.....", RIM: "....o.......o...", SHAKER: "..o...o...o...o."},
    "march": {KICK: "x.......x.......", SNARE: "x.ooo.o.x.ooo.oo", CRASH: "................"},
}
"""Sixteen steps a bar: ``x`` loud, ``o`` usual, ``,`` a ghost, ``.`` a rest."""

_PERCUSSION = frozenset({SHAKER, TAMBOURINE, CONGA})
_LOUD = {"x": 112, "o": 84, ",": 48}
_ENERGY = {"Intro": 0.55, "Verse": 0.75, "Chorus": 1.0, "Bridge": 0.65, "Break": 0.85, "Outro": 0.6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Song:
    """An order for a song.

    ``lyrics`` are sung as they are; where they are empty and the song is not instrumental, they are written from the
    prompt. ``gender`` is ``m``, ``f`` or empty. ``seconds`` None leaves the length open. ``key`` (such as ``D#m``) and
    ``bpm`` overrule the words. ``weirdness`` is 0..1. ``index`` is the variant, from 0.
    """

    prompt: str = ""
    style: str = ""
    lyrics: str = ""
    title: str = ""
    negative: str = ""
    gender: str = ""
    key: str = ""
    bpm: int | None = None
    seconds: float | None = None
    weirdness: float = 0.5
    instrumental: bool = False
    seed: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """``start`` and ``length`` in ticks, ``pitch`` 0..127, ``velocity`` 1..127; ``sung`` the syllable's sounds."""

    start: int
    length: int
    pitch: int
    velocity: int
    sung: Syllable = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """All notes of one instrument, in order. ``channel`` 9 is that of the drums."""

    name: str
    instrument: str
    stem: str
    program: int
    channel: int
    level: float
    pan: float
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """``Chorus`` and the like: where it begins, in bars, and how many it has. ``chords`` are degrees, one a bar."""

    name: str
    kind: str
    start: int
    bars: int
    lines: tuple[str, ...]
    chords: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A sung or spoken word with its times in seconds; ``mark`` is the section that begins with it, else empty."""

    text: str
    start: float
    end: float
    mark: str = ""
    speaker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A whole song. ``tonic`` is a pitch class (0 is C); ``tempo`` microseconds a quarter; ``seconds`` its length."""

    title: str
    lyrics: str
    tonic: int
    minor: bool
    bpm: int
    tempo: int
    metre: int
    genre: str
    bright: float
    gender: str
    seconds: float
    sections: tuple[Section, ...]
    tracks: tuple[Track, ...]
    words: tuple[Word, ...]

    def at(self, tick: int) -> float:
        """Seconds from the beginning."""
        return tick * self.tempo / (PPQ * 1_000_000)

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems that have notes, in the order of ``STEMS``."""
        present = {track.stem for track in self.tracks if track.notes}
        return tuple(name for name in STEMS if name in present)

    @property
    def key(self) -> str:
        return lyrics.key_name(self.tonic, minor=self.minor)


def notes(score: Score) -> list[dict[str, object]]:
    """The notes of every instrument: ``{"name", "stem", "notes": [{"pitch", "start", "end", "velocity"}]}``."""
    return [
        {
            "name": track.name,
            "stem": track.stem,
            "notes": [
                {
                    "pitch": note.pitch,
                    "start": round(score.at(note.start), 4),
                    "end": round(score.at(note.start + note.length), 4),
                    "velocity": round(note.velocity / 127, 3),
                }
                for note in track.notes
            ],
        }
        for track in score.tracks
        if track.notes
    ]


@dataclass(slots=True, kw_only=True)
class _Desk:
    """The composer's desk: what is decided so far."""

    song: Song
    plan: Plan
    rng: Random
    bar: int
    sections: list[Section] = field(default_factory=list)

    @property
    def force(self) -> float:
        """How hard the moods make the players play."""
        return math.prod(mood.force for mood in self.plan.moods[:2])

    @property
    def scale(self) -> tuple[int, ...]:
        return MINOR if self.plan.minor else MAJOR

    def chord(self, degree: str) -> list[int]:
        """Pitch classes of the chord on a degree, the root first."""
        step = int(degree) - 1
        blues = self.plan.genre.name == "blues"
        root = (self.plan.tonic + self.scale[step]) % 12
        if blues:
            return [(root + i) % 12 for i in (0, 4, 7, 10)]
        count = 4 if self.plan.genre.sevenths else 3
        found = [(self.plan.tonic + self.scale[(step + 2 * i) % 7]) % 12 for i in range(count)]
        if self.plan.minor and step == 4:
            found[1] = (root + 4) % 12  # the leading note, as in nearly every minor song
        return found

    def bars(self) -> Iterator[tuple[Section, int, str]]:
        """Every bar of the song: its section, its first tick, its chord."""
        for section in self.sections:
            for number in range(section.bars):
                yield section, (section.start + number) * self.bar, section.chords[number % len(section.chords)]


def compose(song: Song) -> Score:
    """Write a song: the same order gives the same score."""
    plan = _plan(song)
    tempo = round(60_000_000 / plan.bpm)
    desk = _Desk(song=song, plan=plan, rng=chance("compose", song, "notes"), bar=plan.metre * PPQ)
    instrumental = song.instrumental or "vocals" in plan.without
    words = "" if instrumental else _words(song)
    seconds, bars = _length(song, plan, tempo, words)
    desk.sections = _form(desk, bars, words)
    gender = (
        song.gender if song.gender in {"m", "f"} else chance("gender", song.seed, song.prompt, song.index).choice("mf")
    )
    sung = [] if instrumental else _sing(desk, gender)
    tracks = [*_voices(desk, [note for _, _, note in sung]), *_band(desk), *_lead(desk, solo=instrumental)]
    score = Score(
        title=song.title or lyrics.title(song.prompt or song.style, song.seed, song.index),
        lyrics=words,
        tonic=plan.tonic,
        minor=plan.minor,
        bpm=plan.bpm,
        tempo=tempo,
        metre=plan.metre,
        genre=plan.genre.name,
        bright=sum(mood.bright for mood in plan.moods[:2]),
        gender=gender,
        seconds=seconds,
        sections=tuple(desk.sections),
        tracks=tuple(_seat(track, place) for place, track in enumerate(t for t in tracks if t.notes)),
        words=(),
    )
    return replace(score, words=tuple(_timed(score, sung)))


def _plan(song: Song) -> Plan:
    plan = styles.plan(song.style[:3000], song.prompt[:3000], song.negative[:1000], song.seed, song.index)
    if song.key and (named := styles.key(song.key)):
        plan = replace(plan, tonic=named[0], minor=named[1])
    if song.bpm:
        plan = replace(plan, bpm=min(240, max(40, song.bpm)))
    return plan


def _words(song: Song) -> str:
    if song.lyrics.strip():
        return song.lyrics[:5000]
    return lyrics.write_lyrics(song.prompt or song.style, song.seed, song.index)[1]


def _line_bars(plan: Plan) -> int:
    """How many bars a line is sung over: about four seconds."""
    return 1 if plan.metre * 60 / plan.bpm > 3.2 else 2 if plan.metre * 60 / plan.bpm > 1.55 else 4


def _length(song: Song, plan: Plan, tempo: int, words: str) -> tuple[float, int]:
    """Seconds and whole bars of the song."""
    bar = plan.metre * tempo / 1e6
    seconds = song.seconds
    if seconds is None and song.lyrics.strip():
        lines = sum(len(part.lines) or 2 for part in lyrics.parts(words))
        seconds = min(_SUNG_TO, max(_SUNG_FROM, round((lines * _line_bars(plan) + 6) * bar + _TAIL, 2)))
    seconds = min(LONGEST, max(SHORTEST, USUAL if seconds is None else seconds))
    return seconds, max(1, int((seconds - _TAIL) / bar))


def _form(desk: _Desk, bars: int, words: str) -> list[Section]:
    """The sections of a song of so many bars."""
    long = min(4, max(1, bars // 8))
    opening, ending = (long, long) if bars >= 6 else (0, 0)
    parts = lyrics.parts(words)
    if parts and parts[0].name.lower().startswith("intro") and not parts[0].lines:
        parts = parts[1:]
    wanted: list[tuple[str, str, int, tuple[str, ...]]] = []
    if opening:
        wanted.append(("Intro", "Intro", opening, ()))
    wanted += _middle(desk, bars - opening - ending, parts)
    wanted += [("Outro", "Outro", ending, ())] if ending else []
    turns = _turns(desk)
    sections, start = [], 0
    for name, kind, length, lines in wanted:
        chords = turns["Chorus" if kind == "Break" else kind]
        if kind == "Outro":
            chords = (chords * length)[: length - 1] + "1"
        sections.append(Section(name=name, kind=kind, start=start, bars=length, lines=lines, chords=chords))
        start += length
    return sections


def _middle(desk: _Desk, bars: int, parts: Sequence[lyrics.Part]) -> list[tuple[str, str, int, tuple[str, ...]]]:
    """What stands between intro and outro: the lyrics' parts and the refrain again, or what is only played."""
    found: list[tuple[str, str, int, tuple[str, ...]]] = []
    per_line = _line_bars(desk.plan)
    sung = [part for part in parts if part.lines]
    queue = (
        list(parts)
        if sung
        else [lyrics.Part(name=n, lines=()) for n in ("Verse", "Chorus", "Verse", "Bridge", "Chorus")]
    )
    refrain = next((part for part in sung if _kind(part.name) == "Chorus"), None)
    place = 0
    while bars > 0:
        part = queue[place] if place < len(queue) else _more(queue, refrain, place, sung=bool(sung))
        place += 1
        length = len(part.lines) * per_line if part.lines else (4 if sung else 8)
        length = min(bars, length)
        fit = part.lines[: max(1, length // per_line)] if length >= per_line else part.lines[:1]
        found.append((part.name or "Verse", _kind(part.name), length, fit))
        bars -= length
    return found


def _more(queue: Sequence[lyrics.Part], refrain: lyrics.Part | None, place: int, *, sung: bool) -> lyrics.Part:
    """What follows when the lyrics are at their end: a break, then the refrain."""
    if not sung:
        return queue[place % len(queue)]
    if (place - len(queue)) % 2 == 0 or refrain is None:
        return lyrics.Part(name="Break", lines=())
    return refrain


def _kind(name: str) -> str:
    low = name.lower()
    for kind, keys in (
        ("Chorus", ("chorus", "hook", "refrain", "drop", "副歌")),
        ("Bridge", ("bridge", "pre-", "桥")),
        ("Break", ("break", "solo", "instrumental", "interlude", "间奏")),
        ("Intro", ("intro", "前奏")),
        ("Outro", ("outro", "ending", "尾")),
    ):
        if any(key in low for key in keys):
            return "Verse" if kind == "Bridge" and low.startswith("pre-") else kind
    return "Verse"


def _turns(desk: _Desk) -> dict[str, str]:
    """The chords of every kind of section. Variants of an order take different ones."""
    genre = desk.plan.genre
    if genre.name == "blues":
        return dict.fromkeys(_ENERGY, _BLUES)
    pool = list(
        _JAZZ_TURNS if genre.sevenths and not desk.plan.minor else _MINOR_TURNS if desk.plan.minor else _MAJOR_TURNS
    )
    chance("turns", desk.song.seed, desk.song.prompt, desk.song.style).shuffle(pool)
    place = 3 * desk.song.index
    verse, chorus, bridge = (pool[(place + i) % len(pool)] for i in range(3))
    return {"Intro": verse, "Verse": verse, "Chorus": chorus, "Bridge": bridge, "Outro": verse}


# The melody: a motif for each kind of section, and lines that repeat and vary it.


def _sing(desk: _Desk, gender: str) -> list[tuple[str, str, Note]]:
    """Notes of the voice, each with the word that begins on it (else empty) and the mark that stands before that."""
    centre = 67 if gender == "f" else 55
    found: list[tuple[str, str, Note]] = []
    motifs: dict[str, list[int]] = {}
    for section in desk.sections:
        lift = 3 if section.kind == "Chorus" else 0
        motif = motifs.setdefault(section.kind, _motif(desk))
        each = section.bars / max(1, len(section.lines))
        for number, line in enumerate(section.lines):
            first = section.start * desk.bar + int(number * each) * desk.bar
            room = max(desk.bar, int(each) * desk.bar)
            mark = f"[{section.name}]" if number == 0 else ""
            close = number == len(section.lines) - 1
            found += _line(
                desk, line, first, room, [x + (number == 2) for x in motif], centre + lift, mark, close=close
            )
    return found


def _motif(desk: _Desk) -> list[int]:
    """A shape of sixteen steps of the scale, walking, with few leaps."""
    steps, place = [], desk.rng.choice((0, 2, 4))
    leaps = (-1, 1, -1, 1, 2, -2, 0, 0) if desk.song.weirdness < 0.75 else (-1, 1, 2, -2, 3, -4, 5, 0)
    for _ in range(16):
        steps.append(place)
        place += desk.rng.choice(leaps)
        place = place - 2 if place > 5 else place + 2 if place < -3 else place
    return steps


def _line(
    desk: _Desk, line: str, first: int, room: int, motif: list[int], centre: int, mark: str, *, close: bool
) -> list[tuple[str, str, Note]]:
    spoken = speak(line)
    syllables = [(word.text if not n else "", s) for word in spoken for n, s in enumerate(word.syllables)]
    if not syllables:
        return []
    slots = _rhythm(desk, len(syllables), room)
    syllables = syllables[: len(slots)]
    found = []
    for number, ((text, sounds), (start, length)) in enumerate(zip(syllables, slots, strict=True)):
        last = number == len(slots) - 1
        pitch = _pitch(desk, first + start, motif[number % len(motif)], centre, strong=start % PPQ == 0 or last)
        if last and close:
            pitch = _nearest([desk.plan.tonic], pitch)
        velocity = 92 + (8 if start % desk.bar == 0 else 0) + desk.rng.randint(-6, 6)
        note = Note(start=first + start, length=length, pitch=pitch, velocity=velocity, sung=sounds)
        found.append((text, mark if number == 0 else "", note))
    return found


def _rhythm(desk: _Desk, count: int, room: int) -> list[tuple[int, int]]:
    """Start and length of so many syllables in a line: on the beats first, then between them, with air at the end."""
    step = PPQ // 2 if count <= room // (PPQ // 2) - 2 else PPQ // 4
    places = range(0, max(step, room - PPQ), step) if room > PPQ else range(0, room, step)
    rank = {place: _weight(place, desk.bar) + desk.rng.random() * 1.4 for place in places}
    chosen = sorted(sorted(places, key=lambda place: -rank[place])[:count])
    ends = [*chosen[1:], room]
    return [
        (start, max(step // 2, min(end - start, 3 * PPQ) - (step // 8 if end < room else PPQ // 4)))
        for start, end in zip(chosen, ends, strict=True)
    ]


def _weight(place: int, bar: int) -> float:
    if place % bar == 0:
        return 4.0
    return 2.4 if place % PPQ == 0 else 1.6 if place % (PPQ // 2) == 0 else 0.0


def _pitch(desk: _Desk, tick: int, step: int, centre: int, *, strong: bool) -> int:
    scale = _melodic(desk)
    base = _nearest([desk.plan.tonic], centre - 4)
    octave, place = divmod(step, len(scale))
    pitch = base + 12 * octave + scale[place]
    if strong:
        pitch = _nearest(_harmony(desk, tick), pitch)
    while pitch > centre + 10:
        pitch -= 12
    while pitch < centre - 9:
        pitch += 12
    return pitch


def _melodic(desk: _Desk) -> tuple[int, ...]:
    """The steps of melodies: five notes where the genre sings so."""
    if desk.plan.genre.name in {"guofeng", "blues", "country", "lullaby"}:
        return (0, 3, 5, 7, 10) if desk.plan.minor or desk.plan.genre.name == "blues" else (0, 2, 4, 7, 9)
    return desk.scale


def _harmony(desk: _Desk, tick: int) -> list[int]:
    number = tick // desk.bar
    for section in desk.sections:
        if section.start <= number < section.start + section.bars:
            return desk.chord(section.chords[(number - section.start) % len(section.chords)])[:3]
    return desk.chord("1")[:3]


def _nearest(classes: Sequence[int], pitch: int) -> int:
    """The pitch nearest to another that belongs to one of the pitch classes; the higher of two."""
    return min(
        (pitch + shift for shift in range(-6, 7) if (pitch + shift) % 12 in classes), key=lambda p: (abs(p - pitch), -p)
    )


def _timed(score: Score, sung: list[tuple[str, str, Note]]) -> Iterator[Word]:
    """Words from notes: each lasts to the end of its last syllable."""
    starts = [place for place, (text, _, _) in enumerate(sung) if text]
    for place, following in zip(starts, [*starts[1:], len(sung)], strict=False):
        text, mark, first = sung[place]
        last = sung[following - 1][2]
        end = min(score.seconds, score.at(last.start + last.length))
        yield Word(text=text, start=round(score.at(first.start), 3), end=round(end, 3), mark=mark)


# The players.


def _track(name: str, instrument: str, found: Sequence[Note]) -> Track:
    program, stem, level, pan = PLAYERS[instrument]
    return Track(
        name=name,
        instrument=instrument,
        stem=stem,
        program=program,
        channel=0,
        level=level,
        pan=pan,
        notes=_apart(found),
    )


def _apart(found: Sequence[Note]) -> tuple[Note, ...]:
    """In order, and no key is struck while it is down: a note ends where the next of its pitch begins."""
    ordered = sorted(found, key=lambda note: (note.start, note.pitch))
    following: dict[int, int] = {}
    kept: list[Note] = []
    for note in reversed(ordered):
        room = following.get(note.pitch, note.start + note.length) - note.start
        if room > 0:
            kept.append(replace(note, length=min(note.length, room)))
            following[note.pitch] = note.start
    return tuple(reversed(kept))


def _seat(track: Track, place: int) -> Track:
    """A MIDI channel of its own for every instrument, and the tenth for what is struck without a pitch."""
    if track.instrument in {"drums", "percussion"}:
        return replace(track, channel=9)
    return replace(track, channel=[c for c in range(16) if c != 9][place % 15])


def _voices(desk: _Desk, sung: Sequence[Note]) -> Iterator[Track]:
    if not sung:
        return
    yield _track("Vocals", "voice", sung)
    choruses = [(s.start * desk.bar, (s.start + s.bars) * desk.bar) for s in desk.sections if s.kind == "Chorus"]
    second = [
        replace(note, pitch=_nearest(_harmony(desk, note.start), note.pitch + 4), velocity=max(1, note.velocity - 22))
        for note in sung
        if any(start <= note.start < end for start, end in choruses)
    ]
    yield _track("Backing Vocals", "backing", second)


def _players(desk: _Desk) -> list[tuple[str, str]]:
    """The band as (part, instrument): the genre's, with what the words ask for in front."""
    plan = desk.plan
    band = [(piece.partition(":")[0], piece.partition(":")[2]) for piece in plan.genre.band.split()]
    both = f"{desk.song.style} {desk.song.prompt}".lower()
    asked = [name for name in plan.instruments if name in _CHORDAL]
    if "solo" in both.split() and asked:
        band = []
    for name in reversed(asked):
        part = next((p for p, instrument in band if instrument == name), None)
        band = [(p, instrument) for p, instrument in band if instrument != name]
        usual = (
            "waltz" if plan.metre == 3 and name == "piano" else _NATURAL.get(name, "arp" if plan.bpm < 92 else "block")
        )
        band.insert(0, (part or usual, name))
    if desk.song.index % 2 and len(band) > 2:
        band = [band[0], *reversed(band[1:])]
    band = [row for row in band if row[1] not in plan.without][:4]
    return band or [("pad", "pad")]


def _band(desk: _Desk) -> Iterator[Track]:
    players = _players(desk)
    for place, (part, instrument) in enumerate(players):
        found = [note for bar in desk.bars() for note in _play(desk, part, place, len(players), bar)]
        yield _track(instrument.replace("_", " ").title(), instrument, _final(desk, part, place, found))
    solo = "solo" in f"{desk.song.style} {desk.song.prompt}".lower().split()
    if "bass" not in desk.plan.without and not solo:
        yield _track("Bass", _bass_player(desk.plan), [note for bar in desk.bars() for note in _bass(desk, bar)])
    if "drums" not in desk.plan.without and desk.plan.genre.drums and not solo:
        struck = [note for bar in desk.bars() for note in _drums(desk, bar)]
        yield _track("Drums", "drums", [note for note in struck if note.pitch not in _PERCUSSION])
        yield _track("Percussion", "percussion", [note for note in struck if note.pitch in _PERCUSSION])
        yield _track("FX", "fx", [n for section in desk.sections for n in _riser(desk, section)])


def _final(desk: _Desk, part: str, place: int, found: list[Note]) -> list[Note]:
    """The last chord of the song, after the last bar, for those who carry the harmony."""
    if place > 1 or not desk.sections:
        return found
    end = desk.sections[-1].start + desk.sections[-1].bars
    chord = _voicing(desk.chord("1"), 60)
    length = max(PPQ // 2, round(_TAIL * 0.8 * desk.plan.bpm / 60 * PPQ))
    return found + [Note(start=end * desk.bar, length=length, pitch=pitch, velocity=70) for pitch in chord]


def _voicing(classes: Sequence[int], centre: int) -> list[int]:
    """A close position around a centre."""
    return sorted({_nearest([pitch], centre) for pitch in classes})


def _silent(section: Section, place: int, count: int) -> bool:
    """The first player plays always; the others come and go, and in a chorus all are there."""
    if section.kind in {"Chorus", "Break"} or place == 0:
        return False
    if section.kind in {"Intro", "Outro", "Bridge"}:
        return place != count - 1 if count > 2 else place > 1
    return place > 1


def _play(desk: _Desk, part: str, place: int, count: int, bar: tuple[Section, int, str]) -> Iterator[Note]:
    section, start, degree = bar
    if _silent(section, place, count):
        return
    chord = desk.chord(degree)
    force = _ENERGY[section.kind] * min(1.2, desk.force)
    yield from _PARTS[part](desk, chord, start, force)


def _struck(desk: _Desk, pitches: Sequence[int], start: int, length: int, velocity: float) -> Iterator[Note]:
    for pitch in pitches:
        loud = min(127, max(1, round(velocity + desk.rng.uniform(-5, 5))))
        yield Note(start=start, length=max(1, length), pitch=pitch, velocity=loud)


def _block(desk: _Desk, chord: list[int], start: int, force: float) -> Iterator[Note]:
    half = desk.bar // 2 if desk.plan.metre == 4 else desk.bar
    for place in range(0, desk.bar, half):
        yield from _struck(desk, _voicing(chord, 60), start + place, half - 20, 82 * force - 6 * (place > 0))


def _pad(desk: _Desk, chord: list[int], start: int, force: float) -> Iterator[Note]:
    yield from _struck(desk, _voicing(chord, 64), start, desk.bar, 76 * force)


def _arp(desk: _Desk, chord: list[int], start: int, force: float) -> Iterator[Note]:
    """The chord broken into eighths, up and down; the lowest note holds."""
    tones = _voicing(chord[:3], 60)
    ladder = [tones[0] - 12, *tones, tones[0] + 12, *reversed(tones[1:])]
    yield from _struck(desk, [ladder[0]], start, desk.bar - 20, 78 * force)
    for number in range(1, desk.bar * 2 // PPQ):
        accent = 8 if number % 2 == 0 else 0
        place = start + number * PPQ // 2 + _late(desk, number)
        yield from _struck(desk, [ladder[number % len(ladder)]], place, PPQ - 30, (66 + accent) * force)


def _strum(desk: _Desk, chord: list[int], start: int, force: float) -> Iterator[Note]:
    tones = [_voicing(chord[:3], 52)[0], *_voicing(chord, 60)]
    for number, mark in enumerate("x.xoox.o"[: desk.bar * 2 // PPQ]):
        if mark == ".":
            continue
        place = start + number * PPQ // 2 + _late(desk, number)
        for string, pitch in enumerate(tones):
            yield from _struck(desk, [pitch], place + 9 * string, PPQ // 2 - 30, (84 if mark == "x" else 66) * force)


def _chug(desk: _Desk, chord: list[int], start: int, force: float) -> Iterator[Note]:
    low = _nearest([chord[0]], 42)
    for number in range(desk.bar * 2 // PPQ):
        yield from _struck(desk, [low, low + 7], start + number * PPQ // 2, PPQ // 3, (92 - 14 * (number % 2)) * force)


def _comp(desk: _Desk, chord: list[int], start: int, force: float) -> Iterator[Note]:
    """Short chords off the beat, placed anew in every bar."""
    places = desk.rng.choice(((0, 3), (1, 4), (0, 3, 6), (3, 5), (0, 5)))
    for number in places:
        if number * PPQ // 2 < desk.bar:
            place = start + number * PPQ // 2 + _late(desk, number)
            yield from _struck(desk, _voicing(chord[1:] or chord, 62), place, PPQ // 2, 76 * force)


def _skank(desk: _Desk, chord: list[int], start: int, force: float) -> Iterator[Note]:
    for number in range(1, desk.bar * 2 // PPQ, 2):
        yield from _struck(desk, _voicing(chord, 64), start + number * PPQ // 2, PPQ // 5, 80 * force)


def _stab(desk: _Desk, chord: list[int], start: int, force: float) -> Iterator[Note]:
    for number in (0, 3, 6, 10, 13):
        if number * PPQ // 4 < desk.bar:
            yield from _struck(desk, _voicing(chord[:3], 64), start + number * PPQ // 4, PPQ // 4, 80 * force)


def _waltz(desk: _Desk, chord: list[int], start: int, force: float) -> Iterator[Note]:
    yield from _struck(desk, [_nearest([chord[0]], 45)], start, PPQ, 84 * force)
    for beat in range(1, desk.plan.metre):
        yield from _struck(desk, _voicing(chord, 62), start + beat * PPQ, PPQ * 3 // 4, 64 * force)


_PARTS = {
    "block": _block, "pad": _pad, "arp": _arp, "strum": _strum, "chug": _chug, "comp": _comp, "skank": _skank,
    "stab": _stab, "waltz": _waltz,
}  # fmt: skip


def _late(desk: _Desk, eighth: int) -> int:
    return round(desk.plan.genre.swing * PPQ) if eighth % 2 else 0


def _bass_player(plan: Plan) -> str:
    if plan.genre.bass == "sub":
        return "sub"
    if plan.genre.name in {"house", "techno", "trance", "synthwave", "disco"}:
        return "synth_bass"
    return (
        "double_bass"
        if plan.genre.name in {"jazz", "bossa nova", "classical", "waltz", "folk", "cinematic"}
        else "bass"
    )


_BASSES = {
    "root": ((0, 2, 0), (2, 2, 0)), "half": ((0, 3, 0), (3, 1, 7)), "long": ((0, 4, 0),), "fifth": ((0, 1, 0), (2, 1,
    7)),
    "eighth": tuple((n / 2, 0.5, 0) for n in range(8)), "offbeat": tuple((n + 0.5, 0.45, 0) for n in range(4)),
    "octave": tuple((n / 2, 0.4, 12 * (n % 2)) for n in range(8)), "sub": ((0, 2.4, 0), (2.5, 1.4, 0)),
}  # fmt: skip
"""Where a bass plays in a bar: beat, beats, semitones above the root."""


def _bass(desk: _Desk, bar: tuple[Section, int, str]) -> Iterator[Note]:
    section, start, degree = bar
    if section.kind == "Intro" and desk.plan.genre.bass != "long":
        return
    chord = desk.chord(degree)
    root = _nearest([chord[0]], 40)
    if desk.plan.genre.bass == "walk":
        steps = [
            root,
            _nearest([chord[1]], root + 3),
            _nearest([chord[2]], root + 6),
            root + desk.rng.choice((-1, 1, 5)),
        ]
        for step, pitch in enumerate(steps[: desk.plan.metre]):
            yield from _struck(desk, [pitch], start + step * PPQ, PPQ - 30, 92 * _ENERGY[section.kind] ** 0.5)
        return
    for beat, beats, above in _BASSES[desk.plan.genre.bass]:
        if beat < desk.plan.metre:
            length = round(min(beats, desk.plan.metre - beat) * PPQ) - 12
            yield from _struck(
                desk, [root + above], start + round(beat * PPQ), length, 94 * _ENERGY[section.kind] ** 0.5
            )


def _drums(desk: _Desk, bar: tuple[Section, int, str]) -> Iterator[Note]:
    section, start, _ = bar
    number = start // desk.bar - section.start
    if section.kind == "Intro" and desk.plan.genre.drums not in {"house", "techno", "march", "dnb"}:
        return
    if number == 0 and section.kind in {"Chorus", "Break", "Outro"}:
        yield from _struck(desk, [CRASH], start, PPQ, 92)
    fill = number == section.bars - 1 and section.kind in {"Verse", "Chorus", "Bridge"}
    quiet = section.kind in {"Bridge", "Outro"} and desk.plan.genre.drums not in {"techno", "house"}
    for sound, pattern in DRUMS[desk.plan.genre.drums].items():
        if quiet and sound in {KICK, SNARE, CLAP}:
            continue
        for step, mark in enumerate(pattern[: desk.bar * 4 // PPQ]):
            if mark != "." and not (fill and step >= 12 and sound not in {KICK, HAT}):
                place = start + step * PPQ // 4 + (_late(desk, step // 2) if step % 4 == 2 else 0)
                yield from _struck(desk, [sound], place, PPQ // 4, _LOUD[mark] * _ENERGY[section.kind] ** 0.4)
    if fill and desk.plan.genre.drums not in {"brush", "soft", "bossa", "lofi", "swing"}:
        for step in range(4):
            sound = TOM if step > 1 else SNARE
            yield from _struck(desk, [sound], start + desk.bar - (4 - step) * PPQ // 4, PPQ // 4, 84 + 8 * step)


def _riser(desk: _Desk, section: Section) -> Iterator[Note]:
    """A rush of noise that leads into a chorus."""
    if (
        section.kind == "Chorus"
        and section.start > 0
        and desk.plan.genre.drums in {"house", "techno", "dnb", "epic", "pop", "trap"}
    ):
        yield Note(start=(section.start - 1) * desk.bar, length=desk.bar, pitch=60, velocity=80)


def _lead(desk: _Desk, *, solo: bool) -> Iterator[Track]:
    """An instrument that sings where no voice does: everywhere in an instrumental, else in intro, break and outro."""
    asked = [name for name in desk.plan.instruments if name not in _CHORDAL]
    instrument = asked[0] if asked else desk.plan.genre.lead
    if instrument in desk.plan.without:
        instrument = "piano"
    motifs: dict[str, list[int]] = {}
    found: list[Note] = []
    for section in desk.sections:
        if section.lines or (not solo and section.kind not in {"Break", "Intro", "Outro"}):
            continue
        if solo and section.kind == "Intro":
            continue
        motif = motifs.setdefault(section.kind, _motif(desk))
        found += _phrases(desk, section, motif, 69 if PLAYERS[instrument][0] not in {42, 60} else 57)
    yield _track(f"Lead {instrument.replace('_', ' ').title()}", instrument, found)


def _phrases(desk: _Desk, section: Section, motif: list[int], centre: int) -> Iterator[Note]:
    """Two-bar phrases; the first is repeated, the last comes to rest."""
    counts = [desk.rng.randint(5, 9), desk.rng.randint(4, 8)]
    for number, bar in enumerate(range(0, section.bars, 2)):
        room = min(2, section.bars - bar) * desk.bar
        first = (section.start + bar) * desk.bar
        slots = _rhythm(desk, counts[number % 2], room)
        for place, (start, length) in enumerate(slots):
            last = place == len(slots) - 1
            pitch = _pitch(
                desk, first + start, motif[(place + 4 * (number % 4 == 2)) % 16], centre, strong=start % PPQ == 0
            )
            if last and bar + 2 >= section.bars:
                pitch = _nearest([desk.plan.tonic], pitch)
            velocity = round(86 * _ENERGY[section.kind] ** 0.3) + desk.rng.randint(-6, 6)
            yield Note(start=first + start, length=length, pitch=pitch, velocity=velocity)
