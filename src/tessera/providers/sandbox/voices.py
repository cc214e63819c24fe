"""A voice: pulses and noise, shaped by the resonances of a mouth that moves from sound to sound.

The controls (pitch, strength of pulses and of noise, four resonances) are laid out frame by frame, smoothed as a mouth
is slow, and then given to overlapping spectra of the source. Speech and song differ only in who writes the controls.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tessera.providers.sandbox.dsp import RATE, Sound, chance, noise
from tessera.providers.sandbox.phonemes import VOWELS, Spoken, Syllable, speak
from tessera.providers.sandbox.score import Note, Word

_SIZE, _HOP = 1024, 256
_FRAME = _HOP / RATE

_VOWELS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "IY": ((280, 2250, 2950),), "IH": ((400, 1950, 2550),), "EH": ((540, 1820, 2480),), "AE": ((680, 1700, 2420),),
    "AA": ((740, 1120, 2450),), "AO": ((570, 860, 2420),), "UH": ((440, 1030, 2250),), "UW": ((310, 880, 2250),),
    "AH": ((640, 1200, 2400),), "AX": ((500, 1450, 2480),), "ER": ((490, 1350, 1700),),
    "EY": ((520, 1850, 2500), (340, 2150, 2750)), "OW": ((540, 920, 2400), (370, 850, 2280)),
    "AY": ((730, 1200, 2450), (400, 1980, 2600)), "AW": ((730, 1200, 2430), (430, 980, 2280)),
    "OY": ((560, 860, 2400), (400, 1950, 2550)), "YU": ((290, 2150, 2800), (310, 900, 2250)),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """One state of the mouth: how long it lasts when spoken, its resonances in Hz, and what sounds.

    ``pulse`` and ``hiss`` are levels; ``centre`` and ``width`` shape the hiss in Hz (centre 0: through the mouth).
    """

    seconds: float
    shape: tuple[float, float, float] | None = None
    pulse: float = 1.0
    hiss: float = 0.0
    centre: float = 0.0
    width: float = 1000.0


def _hush(seconds: float, level: float, centre: float, width: float, pulse: float = 0.0) -> tuple[Phone, ...]:
    return (Phone(seconds=seconds, pulse=pulse, hiss=level, centre=centre, width=width),)


def _stop(centre: float, width: float, *, voiced: bool) -> tuple[Phone, ...]:
    """The lips or the tongue close, open with a burst, and breath follows where the voice does not."""
    closed = Phone(seconds=0.045, pulse=0.12 if voiced else 0.0, shape=(220, 1200, 2300))
    burst = Phone(seconds=0.012, pulse=0.2 if voiced else 0.0, hiss=0.5, centre=centre, width=width)
    return (closed, burst) if voiced else (closed, burst, Phone(seconds=0.028, pulse=0.1, hiss=0.22))


_CONSONANTS: dict[str, tuple[Phone, ...]] = {
    "M": (Phone(seconds=0.065, shape=(280, 1050, 2200), pulse=0.45),),
    "N": (Phone(seconds=0.06, shape=(280, 1600, 2600), pulse=0.45),),
    "NG": (Phone(seconds=0.07, shape=(280, 2050, 2700), pulse=0.42),),
    "L": (Phone(seconds=0.06, shape=(360, 1050, 2700), pulse=0.65),),
    "R": (Phone(seconds=0.065, shape=(340, 1120, 1620), pulse=0.65),),
    "W": (Phone(seconds=0.06, shape=(310, 700, 2250), pulse=0.6),),
    "Y": (Phone(seconds=0.055, shape=(280, 2200, 2950), pulse=0.6),),
    "S": _hush(0.1, 0.42, 6800, 1700), "Z": _hush(0.075, 0.28, 6500, 1700, pulse=0.25),
    "SH": _hush(0.1, 0.45, 3300, 1100), "ZH": _hush(0.075, 0.3, 3200, 1100, pulse=0.25),
    "F": _hush(0.085, 0.2, 5500, 4200), "V": _hush(0.06, 0.12, 5000, 4000, pulse=0.35),
    "TH": _hush(0.08, 0.16, 6200, 3500), "DH": _hush(0.045, 0.08, 5500, 3500, pulse=0.4),
    "HH": (Phone(seconds=0.06, pulse=0.06, hiss=0.4),),
    "P": _stop(900, 700, voiced=False), "B": _stop(800, 600, voiced=True),
    "T": _stop(4600, 1600, voiced=False), "D": _stop(4000, 1500, voiced=True),
    "K": _stop(2100, 700, voiced=False), "G": _stop(1900, 700, voiced=True),
    "CH": (*_stop(3800, 1300, voiced=False)[:2], *_hush(0.065, 0.42, 3500, 1200)),
    "JH": (*_stop(3500, 1300, voiced=True)[:2], *_hush(0.05, 0.28, 3300, 1200, pulse=0.25)),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A speaker: pitch in Hz, mouth (1 is a man's; more is a shorter one), breath, liveliness, pace."""

    hertz: float
    mouth: float
    breath: float = 0.03
    lively: float = 1.0
    pace: float = 1.0
    tilt: float = 1.0


_WOMEN = frozenset(
    str.split(
        "rachel aria sarah laura charlotte alice matilda jessica lily aoede kore leda zephyr despina "
        "erinome callirrhoe autonoe laomedeia pulcherrima sulafat vindemiatrix achernar gacrux nova "
        "shimmer coral sage fola emma woman female girl"
    )
)
_MEN = frozenset(
    str.split(
        "roger charlie george callum liam will eric chris brian daniel bill puck charon fenrir orus "
        "enceladus iapetus umbriel algieba alnilam rasalgethi schedar achird zubenelgenubi sadachbia "
        "sadaltager algenib alloy echo fable onyx adam man male boy"
    )
)


def voice(name: str) -> Voice:
    """The voice of a name: every name has its own, for ever. Known first names keep to what one expects of them."""
    key = " ".join(name.lower().split())
    digest = hashlib.sha256(f"voice\x1f{key}".encode("utf-8", "surrogatepass")).digest()
    a, b, c, d, e = (byte / 255 for byte in digest[:5])
    woman = key in _WOMEN or (key not in _MEN and digest[5] % 2 == 0)
    return Voice(
        hertz=(178 + 62 * a) if woman else (88 + 52 * a),
        mouth=(1.1 + 0.14 * b) if woman else (0.92 + 0.14 * b),
        breath=0.015 + 0.05 * c,
        lively=0.7 + 0.7 * d,
        pace=0.92 + 0.16 * e,
        tilt=0.95 + 0.3 * c,
    )


def singer(gender: str, seed: int) -> Voice:
    """The voice that sings; its pitch comes from the notes."""
    own = voice(f"singer {gender} {seed}")
    return replace(own, mouth=1.14 if gender == "f" else 0.99, breath=0.03, tilt=0.95)


def say(text: str, speaker: Voice, seed: int = 0, speed: float = 1.0) -> tuple[Sound, list[Word]]:
    """Speak a text: the sound (mono, its end a short silence) and the times of its words, in seconds."""
    words = speak(text)
    score = _Controls()
    times: list[Word] = []
    score.add(Phone(seconds=0.08, pulse=0.0), 0.08, speaker.hertz)
    rng = chance("say", text, seed)
    for phrase in _phrases(words):
        for place, word in enumerate(phrase):
            start = score.seconds
            _word(
                score,
                word,
                place / max(1, len(phrase) - 1),
                place == len(phrase) - 1,
                phrase[-1].ends,
                speaker,
                speed,
                rng,
            )
            times.append(Word(text=word.text, start=round(start, 3), end=round(score.seconds, 3)))
        pause = (phrase[-1].pause or 0.1) / speed
        score.add(Phone(seconds=pause, pulse=0.0), pause, speaker.hertz)
    score.add(Phone(seconds=0.15, pulse=0.0), 0.15, speaker.hertz)
    return score.render(speaker, seed), times


def _phrases(words: Sequence[Spoken]) -> Iterator[list[Spoken]]:
    """Words up to the next pause; a very long run is cut for breath."""
    phrase: list[Spoken] = []
    for word in words:
        phrase.append(word)
        if word.pause or len(phrase) >= 16:
            yield phrase
            phrase = []
    if phrase:
        yield phrase


_SMALL = frozenset(str.split("a an the of to in on at and or is are was it its for with by as that this be"))
_TONES = {1: (1.18, 1.18), 2: (0.95, 1.22), 3: (0.92, 0.78), 4: (1.25, 0.82)}


def _word(
    score: "_Controls",
    word: Spoken,
    along: float,
    last: bool,
    ends: str,
    who: Voice,
    speed: float,
    rng: np.random.Generator,
) -> None:
    small = word.text.lower() in _SMALL
    for number, syllable in enumerate(word.syllables):
        final = last and number == len(word.syllables) - 1
        stress = (number == 0 and not small and len(word.syllables) <= 3) or (number == 1 and len(word.syllables) > 3)
        base = who.hertz * (1.12 - 0.24 * along * who.lively) * (1 + 0.05 * who.lively * float(rng.uniform(-1, 1)))
        base *= 1.09 if stress else 0.97
        begin, finish = _TONES.get(word.tone, (1.02, 0.97))
        if final:
            finish *= 1.32 if ends in {"?", "？"} else 0.86
        length = (
            (0.13 if stress else 0.085)
            * (1.55 if final else 1.0)
            * (0.8 if small else 1.0)
            * (1.5 if word.tone else 1.0)
        )
        pace = 1 / (speed * who.pace)
        _syllable(score, syllable, length * pace, pace, base * begin, base * finish, 1.0 if stress else 0.78)


def _syllable(
    score: "_Controls", syllable: Syllable, vowel: float, pace: float, begin: float, finish: float, level: float
) -> None:
    for sound in syllable:
        if sound in VOWELS:
            shapes = _VOWELS[sound]
            for place, shape in enumerate(shapes):
                length = vowel * (1.0 if len(shapes) == 1 else 0.72)
                part = place / len(shapes)
                score.add(Phone(seconds=length, shape=shape, pulse=level), length,
                          begin + (finish - begin) * part,
                          begin + (finish - begin) * (part + 1 / len(shapes)))  # fmt: skip
        else:
            for phone in _CONSONANTS.get(sound, ()):
                length = phone.seconds * (0.6 + 0.4 * pace)
                score.add(phone, length, begin if sound != syllable[-1] else finish)


def sing(notes: Sequence[Note], starts: Sequence[float], lengths: Sequence[float], who: Voice, seed: int) -> Sound:
    """Sing notes at their seconds: mono, from second 0 on. What lies between the notes is silence."""
    score = _Controls()
    for note, start, length in zip(notes, starts, lengths, strict=True):
        hertz = 440.0 * 2 ** ((note.pitch - 69) / 12)
        if (gap := start - score.seconds) > 0:
            score.add(Phone(seconds=gap, pulse=0.0), gap, hertz)
        _sung(score, note, hertz, start + length - score.seconds)
    score.add(Phone(seconds=0.2, pulse=0.0), 0.2, score.last)
    return score.render(who, seed, vibrato=0.014)


def _sung(score: "_Controls", note: Note, hertz: float, room: float) -> None:
    """A syllable on a note: short consonants, and the vowel for all that is left."""
    sounds = note.sung or ("AA",)
    level = (note.velocity / 100) ** 0.8
    nucleus = next((place for place, sound in enumerate(sounds) if sound in VOWELS), 0)
    before = [phone for sound in sounds[:nucleus] for phone in _CONSONANTS.get(sound, ())]
    after = [phone for sound in sounds[nucleus + 1 :] for phone in _CONSONANTS.get(sound, ())]
    spoken = sum(phone.seconds for phone in (*before, *after)) or 1.0
    squeeze = min(0.85, 0.5 * room / spoken)
    for phone in before:
        score.add(replace(phone, pulse=phone.pulse * level), phone.seconds * squeeze, hertz)
    left = max(_FRAME, room - squeeze * sum(phone.seconds for phone in (*before, *after)))
    shapes = _VOWELS.get(sounds[nucleus], _VOWELS["AA"])
    parts = (1.0,) if len(shapes) == 1 else (0.7, 0.3)
    for shape, part in zip(shapes, parts, strict=True):
        score.add(Phone(seconds=left * part, shape=shape, pulse=level), left * part, hertz)
    for phone in after:
        score.add(replace(phone, pulse=phone.pulse * level), phone.seconds * squeeze, hertz)


class _Controls:
    """What the mouth does, state after state; rendered at the end."""

    def __init__(self) -> None:
        self._phones: list[Phone] = []
        self._ends: list[float] = []
        self._pitch: list[tuple[float, float]] = []
        self.seconds = 0.0
        self.last = 120.0

    def add(self, phone: Phone, seconds: float, hertz: float, until: float = 0.0) -> None:
        """A state that lasts so long, its pitch moving from one frequency to another."""
        self._phones.append(phone)
        self.seconds += seconds
        self._ends.append(self.seconds)
        self.last = until or hertz
        self._pitch.append((hertz, self.last))

    def render(self, who: Voice, seed: int, vibrato: float = 0.0) -> Sound:
        """The sound of it all, mono, exactly as long as the states; made in pieces, whatever the length."""
        count = max(1, round(self.seconds * RATE))
        frames = count // _HOP + 5
        edges = np.minimum(frames, np.round(np.array(self._ends) / _FRAME).astype(int))
        owner = np.searchsorted(edges, np.arange(frames), side="right").clip(0, len(self._phones) - 1)
        hertz = self._hertz(owner, frames, vibrato, seed)
        excite = _pulses(hertz, frames, who)
        hiss = noise("hiss", seed, count=excite.size) * 0.55
        table = self._states(who)
        pulse, blow = _smooth(table[owner, 3], 3), _smooth(table[owner, 4], 3)
        shapes = np.stack([_smooth(table[owner, n], 9) for n in range(3)], axis=1)
        blow = blow + who.breath * pulse
        out = np.zeros(frames * _HOP + _SIZE, np.float32)
        for start in range(0, frames, 4096):
            end = min(frames, start + 4096)
            span = slice(start * _HOP, (end - 1) * _HOP + _SIZE)
            answer = _mouth(shapes[start:end], who.mouth)
            lips = _lips(table[owner[start:end], 5], table[owner[start:end], 6], answer)
            shaped = _spectra(excite[span]) * (answer * pulse[start:end, None])
            shaped += _spectra(hiss[span]) * (lips * blow[start:end, None])
            _overlap(out[span], shaped)
        sound = out[_SIZE // 2 : _SIZE // 2 + count]
        return np.asarray(0.2 * sound, np.float32)

    def _states(self, who: Voice) -> NDArray[np.float32]:
        """A row a state: three resonances, pulse, hiss, its centre and width. No shape: the next one's."""
        rows = np.zeros((len(self._phones), 7), np.float32)
        shape = (500.0, 1500.0, 2500.0)
        for place in range(len(self._phones) - 1, -1, -1):
            phone = self._phones[place]
            shape = phone.shape or shape
            rows[place] = (*shape, phone.pulse, phone.hiss, phone.centre, phone.width)
        return rows

    def _hertz(self, owner: NDArray[np.int64], frames: int, vibrato: float, seed: int) -> NDArray[np.float64]:
        begins = np.array([0.0, *self._ends[:-1]])
        lengths = np.maximum(np.array(self._ends) - begins, 1e-6)
        pitch = np.array(self._pitch)
        inside = (np.arange(frames) * _FRAME - begins[owner]) / lengths[owner]
        curve = pitch[owner, 0] + (pitch[owner, 1] - pitch[owner, 0]) * inside.clip(0, 1)
        curve = np.exp(_smooth(np.log(curve), 9 if vibrato else 13))
        time = np.arange(frames) * _FRAME
        if vibrato:
            long = np.clip((lengths[owner] * inside - 0.18) / 0.25, 0, 1)
            curve *= 1 + vibrato * long * np.sin(2 * np.pi * 5.4 * time)
        wander = _smooth(chance("wander", seed).standard_normal(frames), 21)
        return np.asarray(curve * (1 + 0.02 * wander), np.float64)


def _smooth(values: NDArray[np.floating], width: int) -> NDArray[np.float32]:
    """A moving average with soft edges, over an odd number of frames."""
    kernel = np.hanning(width + 2)[1:-1]
    half = width // 2
    return np.convolve(np.pad(values, half, mode="edge"), kernel / kernel.sum(), "valid").astype(np.float32)


def _pulses(hertz: NDArray[np.float64], frames: int, who: Voice) -> Sound:
    """The buzz of the vocal cords: a wave table with as many overtones as the highest pitch allows."""
    total = frames * _HOP + _SIZE
    most = max(8, min(120, int(11_000 / float(np.percentile(hertz, 95)))))
    k = np.arange(1, most + 1)
    spectrum = np.zeros(4097, np.complex128)
    spectrum[1 : most + 1] = 4096 * np.exp(-1j * np.pi / 2 + 0.35j * np.sqrt(k)) / k**who.tilt
    table = np.fft.irfft(spectrum, 8192).astype(np.float32)
    out, places, phase = np.empty(total, np.float32), np.arange(frames) * _HOP + _SIZE / 2, 0.0
    for start in range(0, total, 1 << 20):  # in pieces: a long text must not fill the memory
        end = min(total, start + (1 << 20))
        turns = phase + np.cumsum(np.interp(np.arange(start, end), places, hertz) / RATE)
        out[start:end] = table[(turns * 8192).astype(np.int64) & 8191]
        phase = float(turns[-1]) % 1.0
    return out


_BINS = np.fft.rfftfreq(_SIZE, 1 / RATE).astype(np.float32)
_WINDOW = np.sqrt(np.hanning(_SIZE + 1)[:-1]).astype(np.float32)


def _mouth(shapes: NDArray[np.float32], mouth: float) -> NDArray[np.float32]:
    """How the mouth answers at every frequency, a row a frame: resonances one after the other."""
    square = _BINS**2
    out = np.ones((len(shapes), _BINS.size), np.float32)
    fixed = np.full(len(shapes), 1.0, np.float32)
    for number, (values, width) in enumerate(
        (
            (shapes[:, 0], 70.0),
            (shapes[:, 1], 95.0),
            (shapes[:, 2], 140.0),
            (fixed * 3500, 220.0),
            (fixed * 4500, 300.0),
        )
    ):
        centre = (values * mouth)[:, None] ** 2
        if number < 3:
            out *= centre / np.sqrt((centre - square) ** 2 + (width * mouth) ** 2 * square)
        else:  # the same in every frame
            out *= centre[:1] / np.sqrt((centre[:1] - square) ** 2 + (width * mouth) ** 2 * square)
    out /= 1 + (_BINS / 9000) ** 4
    heard = np.sqrt(np.sum((out / (1 + _BINS / 250)) ** 2, axis=1, keepdims=True))
    return np.asarray(out * (6.0 / heard) ** 0.6, np.float32)  # vowels of a wide mouth are louder, but not by so much


def _lips(centre: NDArray[np.float32], width: NDArray[np.float32], answer: NDArray[np.float32]) -> NDArray[np.float32]:
    """The shape of the hiss: a hill around its centre, or the mouth itself where it has none."""
    hill = np.exp(-0.5 * ((_BINS[None, :] - centre[:, None]) / width[:, None]) ** 2)
    through = (centre == 0)[:, None]
    return np.asarray(np.where(through, answer * 0.35, 2.2 * hill), np.float32)


def _spectra(sound: Sound) -> NDArray[np.complex64]:
    frames = np.lib.stride_tricks.sliding_window_view(sound, _SIZE)[::_HOP]
    return np.asarray(np.fft.rfft(frames * _WINDOW), np.complex64)


def _overlap(out: Sound, spectra: NDArray[np.complex64]) -> None:
    """Lay the frames over each other; four of them share every moment."""
    frames = np.fft.irfft(spectra, _SIZE).astype(np.float32) * (_WINDOW * 0.5)
    for offset in range(4):
        part = frames[offset::4]
        if len(part):
            out[offset * _HOP : offset * _HOP + part.size] += part.reshape(-1)
