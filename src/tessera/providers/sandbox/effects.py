"""Sounds of the world: rain, footsteps, bells and the like, made for the words of a prompt from noise and sines."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera.providers.sandbox import dsp, instruments, styles
from tessera.providers.sandbox.dsp import RATE, Sound, band

SHORTEST, LONGEST = 0.5, 120.0
Chance = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """An order for a sound. ``seconds`` None leaves the length open; ``key`` such as ``D#m`` and ``bpm`` tune it."""

    prompt: str
    seconds: float | None = None
    loop: bool = False
    key: str = ""
    bpm: int | None = None
    seed: int = 0


def make(effect: Effect) -> Sound:
    """The sound of an order: ``(2, samples)``, the same for the same order. What loops joins its own beginning."""
    names = kinds(effect.prompt) or ["sweep"]
    seconds = effect.seconds or (8.0 if effect.loop or any(name in _STEADY for name in names) else 4.0)
    seconds = min(LONGEST, max(SHORTEST, seconds))
    count = round(seconds * RATE)
    blend = min(count // 2, RATE) if effect.loop else 0
    out = np.zeros((2, count + blend), np.float32)
    for place, name in enumerate(names[:3]):
        rng = dsp.chance("effect", effect.prompt, effect.seed, name)
        layer = _normal(
            dsp.stereo(KINDS[name][1](_Take(count=count + blend, rng=rng, tone=_tone(effect), beat=_beat(effect))))
        )
        out += layer * 0.75**place
    if effect.loop:
        rise = np.sqrt(np.linspace(0, 1, blend, dtype=np.float32))
        out[:, :blend] = out[:, :blend] * rise + out[:, count:] * rise[::-1]
        return dsp.master(out[:, :count], loudness=-18)
    return dsp.fade(dsp.master(out[:, :count], loudness=-18), 0.004, min(0.25, seconds / 8))


def kinds(prompt: str) -> list[str]:
    """The sounds that a prompt names, in the order of the table."""
    return [name for name, (words, _) in KINDS.items() if styles.has(prompt, words)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Take:
    """What a sound is made for: so many samples, its chance, a pitch in Hz and seconds a beat where it has them."""

    count: int
    rng: Chance
    tone: float
    beat: float | None

    @property
    def time(self) -> Sound:
        return np.asarray(np.arange(self.count, dtype=np.float32) / RATE, np.float32)

    def hiss(self, count: int | None = None) -> Sound:
        return self.rng.standard_normal(count or self.count, dtype=np.float32)

    def slow(self, hertz: float, low: float, high: float) -> Sound:
        """A curve that wanders between two values, about ``hertz`` times a second."""
        points = max(3, int(self.count / RATE * hertz) + 2)
        values = self.rng.uniform(low, high, points)
        return np.interp(np.linspace(0, points - 1, self.count), np.arange(points), values).astype(np.float32)

    def places(self, apart: float, jitter: float = 0.1) -> NDArray[np.int64]:
        """Samples at which something happens, so many seconds apart, or on the beat."""
        step = self.beat or apart
        marks = np.arange(0, max(self.count / RATE - 0.05, 0.01), step)
        if self.beat is None:
            marks = marks + self.rng.uniform(0, jitter * step, marks.size)
        return (marks * RATE).astype(np.int64)


def _tone(effect: Effect) -> float:
    named = styles.key(effect.key) if effect.key else None
    return 440.0 * 2 ** ((named[0] - 9) / 12) if named else 440.0


def _beat(effect: Effect) -> float | None:
    bpm = effect.bpm or styles.bpm(effect.prompt)
    return 60 / min(300, max(20, bpm)) if bpm else None


def _normal(sound: Sound) -> Sound:
    return sound / max(1e-6, dsp.rms(sound)) * 0.1


def _put(out: Sound, sound: Sound, start: int) -> None:
    end = min(out.shape[-1], start + sound.shape[-1])
    if end > start:
        out[..., start:end] += sound[..., : end - start]


def _burst(take: _Take, seconds: float, low: float, high: float, fall: float) -> Sound:
    """A puff of noise between two frequencies that dies away."""
    count = int(seconds * RATE)
    time = np.arange(count, dtype=np.float32) / RATE
    out = band(take.hiss(count), low, high) * np.exp(-time / fall) * np.minimum(1, time / 0.002)
    return np.asarray(out / max(1e-6, float(np.abs(out).max())), np.float32)


def _ping(hertz: float, seconds: float, fall: float) -> Sound:
    time = np.arange(int(seconds * RATE), dtype=np.float32) / RATE
    return np.asarray(np.sin(2 * np.pi * hertz * time) * np.exp(-time / fall) * np.minimum(1, time / 0.002), np.float32)


def _swept(take: _Take, hertz: Sound) -> Sound:
    """A sine along a curve of frequencies."""
    return np.asarray(np.sin(2 * np.pi * np.cumsum(hertz / RATE, dtype=np.float64)), np.float32)


def _wide(take: _Take, low: float, high: float) -> Sound:
    """Noise that is not the same left and right."""
    return np.stack([band(take.hiss(), low, high), band(take.hiss(), low, high)])


def _drops(take: _Take, rate: float, low: float, high: float) -> Sound:
    out = np.zeros((2, take.count), np.float32)
    for _ in range(int(take.count / RATE * rate) + 1):
        drop = _ping(float(take.rng.uniform(low, high)), 0.03, 0.004) * float(take.rng.uniform(0.1, 0.7))
        pan = float(take.rng.uniform(0, 1))
        _put(out, np.stack([drop * pan, drop * (1 - pan)]), int(take.rng.integers(0, take.count)))
    return out


def _rain(take: _Take) -> Sound:
    return 0.5 * _wide(take, 500, 9000) * take.slow(0.5, 0.7, 1.0) + _drops(take, 60, 1500, 6000)


def _wind(take: _Take) -> Sound:
    low, high = _wide(take, 60, 500), _wide(take, 400, 1400)
    force = take.slow(0.35, 0.1, 1.0)
    return np.asarray(low * (0.3 + force) + 0.8 * high * force**2, np.float32)


def _thunder(take: _Take) -> Sound:
    out = np.zeros((2, take.count), np.float32)
    for place in take.places(7.0, 0.4)[:12]:
        _put(out, dsp.stereo(_burst(take, 0.6, 80, 5000, 0.09)) * 0.8, int(place))
        _put(out, dsp.stereo(_burst(take, 5.0, 25, 170, 1.3)) * 1.2, int(place) + RATE // 9)
    return out


def _sea(take: _Take) -> Sound:
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * take.time / 6.5 - 1.4)
    return np.asarray(_wide(take, 60, 900) * (0.3 + wave) + 0.6 * _wide(take, 1200, 7000) * wave**3, np.float32)


def _fire(take: _Take) -> Sound:
    out = 0.4 * _wide(take, 40, 600) * take.slow(3, 0.6, 1.0)
    for _ in range(int(take.count / RATE * 14) + 1):
        crack = _burst(take, 0.03, 1200, 8000, 0.004) * float(take.rng.uniform(0.3, 2.5))
        _put(out, dsp.stereo(crack), int(take.rng.integers(0, take.count)))
    return np.asarray(out, np.float32)


def _steps(take: _Take) -> Sound:
    out = np.zeros((2, take.count), np.float32)
    for number, place in enumerate(take.places(0.55, 0.06)):
        heel = _burst(take, 0.12, 60, 420, 0.025) + 0.35 * _burst(take, 0.12, 900, 4000, 0.02)
        side = 0.42 if number % 2 else 0.58
        _put(out, np.stack([heel * side, heel * (1 - side)]), int(place))
        _put(out, dsp.stereo(0.3 * _burst(take, 0.08, 300, 2500, 0.02)), int(place) + int(0.09 * RATE))
    return out


def _engine(take: _Take) -> Sound:
    revs = take.slow(0.5, 26, 48)
    phase = np.cumsum(revs / RATE, dtype=np.float64)
    tone = sum((np.sin(2 * np.pi * phase * k + k) / k**0.8 for k in range(1, 14)), np.zeros(take.count))
    rattle = band(take.hiss(), 100, 1800) * (0.6 + 0.4 * np.sin(2 * np.pi * phase * 2))
    return np.asarray(np.tanh(0.7 * tone) + 0.5 * rattle, np.float32)


def _bell(take: _Take) -> Sound:
    out = np.zeros(take.count, np.float32)
    for place in take.places(2.4, 0.02):
        for ratio, level in (
            (0.5, 0.5),
            (1, 1),
            (1.19, 0.6),
            (1.5, 0.4),
            (2, 0.6),
            (2.74, 0.3),
            (3.76, 0.2),
            (5.4, 0.1),
        ):
            _put(out, level * _ping(take.tone * ratio, 4.0, 1.1 / ratio**0.6), int(place))
    return out


def _blast(take: _Take) -> Sound:
    out = np.zeros((2, take.count), np.float32)
    for place in take.places(5.0, 0.3):
        boom = instruments.sweep(np.asarray(np.arange(2 * RATE) / RATE, np.float32), 30, 120, 0.12)
        _put(out, dsp.stereo(boom * np.exp(-np.arange(boom.size) / (0.5 * RATE)).astype(np.float32)), int(place))
        _put(out, 1.4 * np.stack([_burst(take, 3.0, 30, 2200, 0.5), _burst(take, 3.0, 30, 2200, 0.5)]), int(place))
        _put(out, dsp.stereo(_burst(take, 0.5, 500, 9000, 0.08)), int(place))
    return out


def _events(apart: float, one: Callable[[_Take], Sound], jitter: float = 0.1) -> Callable[[_Take], Sound]:
    """A short sound again and again, panned a little each time."""

    def make_all(take: _Take) -> Sound:
        out = np.zeros((2, take.count), np.float32)
        for place in take.places(apart, jitter):
            pan, sound = float(take.rng.uniform(0.35, 0.65)), one(take)
            _put(out, np.stack([sound * pan, sound * (1 - pan)]), int(place))
        return out

    return make_all


def _click(take: _Take) -> Sound:
    return _burst(take, 0.03, 1500, 9000, 0.003) + 0.4 * _burst(take, 0.03, 300, 900, 0.006)


def _laser(take: _Take) -> Sound:
    time = np.arange(int(0.35 * RATE), dtype=np.float32) / RATE
    return np.asarray(_swept(take, 180 + 3200 * np.exp(-time / 0.07)) * np.exp(-time / 0.12), np.float32)


def _bird(take: _Take) -> Sound:
    """A few chirps, each a quick curve of pitch."""
    out = np.zeros(int(0.9 * RATE), np.float32)
    base = float(take.rng.uniform(2400, 4600))
    for number in range(int(take.rng.integers(2, 6))):
        time = np.linspace(0, 1, int(take.rng.uniform(0.06, 0.14) * RATE), dtype=np.float32)
        curve = base * (1 + float(take.rng.uniform(-0.25, 0.35)) * np.sin(np.pi * time) + 0.04 * np.sin(60 * time))
        _put(out, _swept(take, curve) * np.sin(np.pi * time), int(number * 0.15 * RATE))
    return out


def _claps(take: _Take) -> Sound:
    clap, _ = instruments.drum(39)
    out = 0.03 * _wide(take, 800, 6000)
    for _ in range(int(take.count / RATE * 70) + 1):
        pan = float(take.rng.uniform(0.1, 0.9))
        piece = clap * float(take.rng.uniform(0.1, 0.6))
        _put(out, np.stack([piece * pan, piece * (1 - pan)]), int(take.rng.integers(0, take.count)))
    return np.asarray(out, np.float32)


def _heart(take: _Take) -> Sound:
    out = np.zeros(take.count, np.float32)
    for place in take.places(0.85, 0.03):
        for shift, level in ((0, 1.0), (0.26, 0.7)):
            thump = _ping(48, 0.3, 0.06) + 0.6 * _ping(88, 0.3, 0.04)
            _put(out, np.asarray(level * thump, np.float32), int(place + shift * RATE))
    return out


def _tick(take: _Take) -> Sound:
    return _ping(2900, 0.05, 0.006) + 0.5 * _ping(1700, 0.05, 0.01)


def _siren(take: _Take) -> Sound:
    return _swept(take, (900 + 330 * np.sin(2 * np.pi * take.time / 2.6)).astype(np.float32))


def _knock(take: _Take) -> Sound:
    return _burst(take, 0.2, 90, 700, 0.03) + 0.5 * _ping(160, 0.2, 0.04)


def _glass(take: _Take) -> Sound:
    out = np.zeros(int(1.4 * RATE), np.float32)
    _put(out, _burst(take, 0.2, 2500, 12_000, 0.05), 0)
    for _ in range(26):
        shard = _ping(float(take.rng.uniform(2500, 9000)), 0.5, float(take.rng.uniform(0.02, 0.14)))
        _put(out, 0.25 * shard, int(take.rng.exponential(0.2) * RATE))
    return out


def _stream(take: _Take) -> Sound:
    out = 0.25 * _wide(take, 400, 4000) * take.slow(2, 0.7, 1.0)
    for _ in range(int(take.count / RATE * 25) + 1):
        time = np.linspace(0, 1, int(0.05 * RATE), dtype=np.float32)
        bubble = _swept(take, float(take.rng.uniform(350, 1000)) * (1 + 0.8 * time)) * np.sin(np.pi * time) * 0.5
        _put(out, dsp.stereo(bubble), int(take.rng.integers(0, take.count)))
    return np.asarray(out, np.float32)


def _train(take: _Take) -> Sound:
    out = 0.5 * _wide(take, 40, 500)
    for place in take.places(0.9, 0.02):
        for shift in (0, 0.16):
            _put(out, dsp.stereo(1.6 * _burst(take, 0.12, 150, 2600, 0.03)), int(place + shift * RATE))
    return np.asarray(out, np.float32)


def _whoosh(take: _Take) -> Sound:
    time = np.linspace(0, 1, min(take.count, int(1.1 * RATE)), dtype=np.float32)
    hiss = take.hiss(time.size)
    out = band(hiss, 150, 900) * (1 - time) + band(hiss, 700, 6000) * np.sin(np.pi * time)
    return np.asarray(out * np.sin(np.pi * time) ** 2, np.float32)


def _shot(take: _Take) -> Sound:
    return _burst(take, 0.9, 100, 9000, 0.05) + 0.6 * _burst(take, 0.9, 40, 600, 0.2)


def _beep(take: _Take) -> Sound:
    time = np.arange(int(0.22 * RATE), dtype=np.float32) / RATE
    edge = np.minimum(1, np.minimum(time, time[::-1]) / 0.008)
    return np.asarray(
        (np.sin(2 * np.pi * 2 * take.tone * time) + 0.3 * np.sin(6 * np.pi * 2 * take.tone * time)) * edge
    )


def _coin(take: _Take) -> Sound:
    out = np.zeros(int(0.6 * RATE), np.float32)
    _put(out, _ping(988, 0.08, 0.2), 0)
    _put(out, _ping(1319, 0.5, 0.15), int(0.08 * RATE))
    return out


def _static(take: _Take) -> Sound:
    return np.asarray(_wide(take, 300, 12_000) * take.slow(8, 0.4, 1.0), np.float32)


def _drum(take: _Take) -> Sound:
    out = np.zeros((2, take.count), np.float32)
    for number, place in enumerate(take.places(0.5, 0.0)):
        sound, _ = instruments.drum((36, 42, 38, 42)[number % 4])
        _put(out, dsp.stereo(sound), int(place))
    return out


def _hum(take: _Take) -> Sound:
    """A drone on the key: a fifth and octaves that beat slowly."""
    out = np.zeros(take.count, np.float64)
    for ratio, level in ((0.25, 1), (0.5, 0.8), (0.503, 0.8), (0.75, 0.4), (1, 0.3), (1.004, 0.3)):
        out += level * np.sin(2 * np.pi * take.tone * ratio * take.time)
    return np.asarray(out * take.slow(0.4, 0.6, 1.0), np.float32)


def _sweep(take: _Take) -> Sound:
    """For words that name no sound we know: a texture that rises and falls, on the key if there is one."""
    curve = take.tone / 4 * 2 ** take.slow(0.6, 0, 3)
    tone = _swept(take, curve) + 0.5 * _swept(take, curve * 1.501) + 0.3 * _swept(take, curve * 2.003)
    hiss = _wide(take, 400, 5000) * take.slow(1.5, 0.0, 0.5)
    return np.asarray(dsp.stereo((tone * take.slow(2, 0.3, 1.0)).astype(np.float32)) + hiss, np.float32)


KINDS: dict[str, tuple[str, Callable[[_Take], Sound]]] = {
    "rain": ("rain rainy raining drizzle downpour storm 雨 暴雨", _rain),
    "thunder": ("thunder lightning thunderstorm storm 雷 雷声 闪电", _thunder),
    "wind": ("wind windy breeze gale blizzard storm 风", _wind),
    "sea": ("sea ocean waves wave beach surf shore 海 海浪", _sea),
    "stream": ("stream river creek water brook bubbles fountain waterfall 溪 河 水 瀑布", _stream),
    "fire": ("fire campfire fireplace crackling flames burning 火", _fire),
    "steps": ("footsteps footstep steps walking walk running 脚步 走路", _steps),
    "engine": ("engine motor car truck motorcycle driving 引擎 发动机 汽车", _engine),
    "train": ("train railway locomotive subway 火车 列车", _train),
    "bell": ("bell bells church chime gong doorbell 钟 铃", _bell),
    "blast": ("explosion explode blast bomb boom 爆炸", _blast),
    "shot": ("gun gunshot shot pistol rifle 枪", _events(1.1, _shot, 0.3)),
    "click": ("click button mouse switch typing keyboard tap 点击 按钮 键盘", _events(0.28, _click, 0.6)),
    "laser": ("laser zap blaster phaser scifi 激光", _events(0.7, _laser, 0.3)),
    "birds": ("bird birds birdsong chirping forest 鸟 鸟鸣 森林", _events(0.9, _bird, 0.7)),
    "applause": ("applause clapping crowd audience cheering 掌声 鼓掌", _claps),
    "heartbeat": ("heartbeat heart pulse 心跳", _heart),
    "clock": ("clock ticking tick watch 时钟 滴答", _events(0.5, _tick, 0.0)),
    "siren": ("siren ambulance police 警笛", _siren),
    "knock": ("knock knocking door 敲门 门", _events(0.45, _knock, 0.2)),
    "glass": ("glass shatter breaking smash 玻璃", _events(2.5, _glass, 0.2)),
    "whoosh": ("whoosh swoosh swish transition pass 嗖", _events(1.6, _whoosh, 0.2)),
    "beep": ("beep alarm notification phone ring ui 提示音 闹钟", _events(0.6, _beep, 0.0)),
    "coin": ("coin game pickup jump arcade 8bit 金币", _events(0.9, _coin, 0.0)),
    "static": ("static radio noise interference 噪音 电流", _static),
    "drum": ("drum drums beat loop percussion kick snare 鼓", _drum),
    "hum": ("hum drone spaceship ambience machine server 嗡嗡 飞船", _hum),
    "sweep": ("", _sweep),
}
"""The words that ask for a sound, and how it is made."""

_STEADY = frozenset({"rain", "thunder", "wind", "sea", "stream", "fire", "engine", "train", "birds", "applause", "hum"})
