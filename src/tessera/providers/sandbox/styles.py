"""What words say about music: genres, moods, instruments, keys and tempos, in English and Chinese. Plain tables."""

import re
from dataclasses import dataclass
from random import Random

from tessera.providers.sandbox.canvas import chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Genre:
    """How a kind of music is made.

    ``bpm`` is the usual range; ``band`` the parts as ``part:instrument``, where the part names a way of playing;
    ``drums`` a pattern of ``score``'s table; ``swing`` the part of a beat by which every second eighth comes late.
    """

    name: str
    words: str
    bpm: tuple[int, int]
    band: str
    drums: str = ""
    bass: str = "root"
    minor: bool = False
    metre: int = 4
    swing: float = 0.0
    sevenths: bool = False
    lead: str = "piano"
    colour: str = ""


GENRES = (
    Genre(name="pop", words="pop 流行", bpm=(96, 120), band="block:piano arp:acoustic_guitar pad:pad", drums="pop",
          bass="eighth", lead="synth_lead", colour="bright hooks and a wide chorus"),
    Genre(name="rock", words="rock indie grunge 摇滚", bpm=(108, 140), band="strum:electric_guitar block:organ",
          drums="rock", bass="eighth", lead="electric_guitar", colour="driving guitars over a tight backbeat"),
    Genre(name="metal", words="metal hardcore 金属", bpm=(140, 176), band="chug:electric_guitar pad:strings",
          drums="metal", bass="eighth", minor=True, lead="electric_guitar", colour="palm-muted riffs, heavy kick"),
    Genre(name="punk", words="punk 朋克", bpm=(160, 184), band="strum:electric_guitar", drums="punk", bass="eighth",
          lead="electric_guitar", colour="fast downstrokes and a shouted refrain"),
    Genre(name="folk", words="folk acoustic songwriter indiefolk 民谣", bpm=(84, 108),
          band="arp:acoustic_guitar pad:cello", drums="brush", bass="half", lead="flute",
          colour="finger-picked guitar, close and warm"),
    Genre(name="country", words="country bluegrass americana 乡村", bpm=(100, 132),
          band="strum:acoustic_guitar arp:banjo", drums="train", bass="fifth", lead="violin",
          colour="boom-chick bass, bright strings"),
    Genre(name="blues", words="blues 布鲁斯 蓝调", bpm=(72, 104), band="block:organ strum:electric_guitar",
          drums="shuffle", bass="walk", swing=0.16, sevenths=True, lead="harmonica", colour="a shuffle in twelve bars"),
    Genre(name="jazz", words="jazz swing bebop lounge 爵士", bpm=(112, 160), band="comp:piano",
          drums="swing", bass="walk", swing=0.16, sevenths=True, lead="saxophone",
          colour="walking bass, ride cymbal, extended chords"),
    Genre(name="bossa nova", words="bossa bossanova samba latin salsa 拉丁", bpm=(116, 140),
          band="comp:acoustic_guitar pad:epiano", drums="bossa", bass="fifth", sevenths=True, lead="flute",
          colour="a gentle clave and soft nylon strings"),
    Genre(name="soul", words="soul rnb r&b gospel motown 灵魂", bpm=(68, 96), band="block:epiano pad:organ stab:brass",
          drums="soul", bass="walk", sevenths=True, swing=0.06, lead="saxophone",
          colour="warm keys and a laid-back beat"),
    Genre(name="funk", words="funk funky groove 放克", bpm=(98, 116),
          band="comp:electric_guitar stab:brass block:epiano",
          drums="funk", bass="octave", sevenths=True, lead="saxophone", colour="syncopated bass and clipped guitar"),
    Genre(name="disco", words="disco dance nudisco 迪斯科 舞曲", bpm=(114, 124),
          band="comp:electric_guitar pad:strings block:piano", drums="house", bass="octave", lead="strings",
          colour="octave bass and sweeping strings"),
    Genre(name="reggae", words="reggae dub ska 雷鬼", bpm=(68, 88), band="skank:organ skank:electric_guitar",
          drums="reggae", bass="fifth", lead="trumpet", colour="off-beat chords, deep bass"),
    Genre(name="hip hop", words="hip-hop hiphop hip rap boombap 嘻哈 说唱", bpm=(84, 96),
          band="block:epiano pad:strings",
          drums="hiphop", bass="half", minor=True, swing=0.08, lead="bells", colour="dusty drums and a looping motif"),
    Genre(name="trap", words="trap drill 808 陷阱", bpm=(132, 148), band="arp:bells pad:pad", drums="trap", bass="sub",
          minor=True, lead="flute", colour="rolling hats above a long 808"),
    Genre(name="lo-fi", words="lofi lo-fi chillhop study chill 低保真", bpm=(70, 86), band="block:epiano pad:pad",
          drums="lofi", bass="half", sevenths=True, swing=0.1, lead="vibraphone", colour="soft, hazy and unhurried"),
    Genre(name="house", words="house edm club electronic electro 浩室 电子 电音", bpm=(120, 126),
          band="stab:synth_keys pad:pad arp:pluck", drums="house", bass="offbeat", minor=True, lead="synth_lead",
          colour="four on the floor with open hats"),
    Genre(name="techno", words="techno industrial rave 科技舞曲", bpm=(128, 128),
          band="stab:synth_keys arp:pluck pad:pad",
          drums="techno", bass="offbeat", minor=True, lead="synth_lead",
          colour="a relentless kick and hypnotic synths"),
    Genre(name="trance", words="trance psytrance eurodance", bpm=(134, 140), band="arp:pluck pad:pad stab:synth_keys",
          drums="techno", bass="offbeat", minor=True, lead="synth_lead", colour="rising arpeggios, wide pads"),
    Genre(name="drum and bass", words="dnb drumandbass drum'n'bass jungle breakbeat", bpm=(172, 176),
          band="pad:pad arp:epiano",
          drums="dnb", bass="sub", minor=True, lead="synth_lead", colour="fast breaks over a deep sub"),
    Genre(name="synthwave", words="synthwave retrowave 80s 1980s vaporwave 合成器", bpm=(92, 112),
          band="arp:pluck pad:pad stab:synth_keys", drums="rock", bass="eighth", minor=True, lead="synth_lead",
          colour="neon arpeggios and gated drums"),
    Genre(name="ambient", words="ambient drone meditation newage sleep spa relaxing 氛围 冥想 睡眠", bpm=(56, 70),
          band="pad:pad pad:choir arp:bells", bass="long", lead="flute", colour="slow, floating and spacious"),
    Genre(name="classical", words="classical baroque sonata chamber symphony 古典", bpm=(76, 112),
          band="arp:piano pad:strings", bass="half", lead="violin", colour="clear voices in balanced phrases"),
    Genre(name="cinematic", words="cinematic orchestral orchestra epic trailer film soundtrack score 史诗 电影 管弦",
          bpm=(80, 104), band="pad:strings stab:brass arp:strings pad:choir", drums="epic", bass="long", minor=True,
          lead="horn", colour="broad strings, brass and thunderous drums"),
    Genre(name="ballad", words="ballad slowsong 抒情 情歌", bpm=(64, 78), band="arp:piano pad:strings", drums="soft",
          bass="half", lead="violin", colour="an intimate verse that opens into a full chorus"),
    Genre(name="waltz", words="waltz 圆舞曲 华尔兹", bpm=(96, 152), band="waltz:piano pad:strings", bass="long",
          metre=3,
          lead="violin", colour="three beats in a bar, turning"),
    Genre(name="lullaby", words="lullaby musicbox nursery 摇篮曲 八音盒", bpm=(66, 80), band="arp:bells pad:pad",
          bass="long", metre=3, lead="bells", colour="a small melody that rocks to sleep"),
    Genre(name="march", words="march marching military anthem 进行曲", bpm=(108, 120), band="stab:brass block:horn",
          drums="march", bass="fifth", lead="trumpet", colour="proud brass in step"),
    Genre(name="guofeng", words="guofeng chinese guzheng erhu pipa oriental 国风 古风 中国风 古筝 二胡 琵琶",
          bpm=(72, 92), band="arp:guzheng pad:strings", drums="soft", bass="half", minor=True, lead="erhu",
          colour="pentatonic melody on plucked and bowed strings"),
)  # fmt: skip

BY_NAME = {genre.name: genre for genre in GENRES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """``tempo`` multiplies; ``minor`` None leaves the mode; ``force`` scales velocities; ``bright`` is -1..1."""

    name: str
    words: str
    tempo: float = 1.0
    minor: bool | None = None
    force: float = 1.0
    bright: float = 0.0
    colour: str = ""


MOODS = (
    Mood(name="sad",
         words="sad melancholy melancholic sorrow lonely heartbreak tears rain grief 悲伤 忧伤 伤感 孤独 哭 雨",
         tempo=0.9, minor=True, force=0.85, bright=-0.4, colour="melancholic"),
    Mood(name="happy", words="happy joyful cheerful sunny uplifting fun birthday summer 快乐 欢快 开心 阳光 生日 夏",
         tempo=1.06, minor=False, force=1.05, bright=0.4, colour="joyful"),
    Mood(name="dark", words="dark sinister horror evil haunting gloomy 黑暗 恐怖 阴森", tempo=0.94, minor=True,
         bright=-0.6, colour="dark"),
    Mood(name="epic", words="epic heroic triumphant powerful battle glory 英雄 壮丽 战斗 热血", force=1.15, bright=0.3,
         colour="soaring"),
    Mood(name="calm", words="calm peaceful gentle soft quiet tender serene 平静 安静 温柔 轻柔 宁静", tempo=0.88,
         force=0.75, bright=-0.3, colour="gentle"),
    Mood(name="angry", words="angry rage aggressive fierce furious 愤怒 激烈", tempo=1.06, minor=True, force=1.2,
         bright=0.5, colour="fierce"),
    Mood(name="romantic", words="romantic love lovely kiss wedding sweet 浪漫 爱 爱情 甜", tempo=0.96, force=0.95,
         colour="romantic"),
    Mood(name="dreamy", words="dreamy dream ethereal floating night stars moon 梦 夜 星 月 空灵", tempo=0.94,
         force=0.85,
         bright=-0.2, colour="dreamy"),
    Mood(name="energetic", words="energetic upbeat fast driving party workout 活力 动感 激情 派对", tempo=1.05,
         force=1.1,
         bright=0.4, colour="energetic"),
    Mood(name="nostalgic", words="nostalgic memory memories old childhood 怀旧 回忆 童年", tempo=0.96, bright=-0.2,
         colour="nostalgic"),
)  # fmt: skip

INSTRUMENTS = {
    "piano": "piano grandpiano keys 钢琴",
    "epiano": "rhodes epiano wurlitzer 电钢琴",
    "organ": "organ hammond 风琴",
    "acoustic_guitar": "guitar acousticguitar ukulele 吉他 木吉他 尤克里里",
    "electric_guitar": "electricguitar distortion riff 电吉他",
    "banjo": "banjo mandolin 班卓琴",
    "strings": "strings orchestra quartet 弦乐",
    "violin": "violin fiddle viola 小提琴",
    "cello": "cello doublebass 大提琴",
    "harp": "harp lyre 竖琴",
    "guzheng": "guzheng koto pipa zither 古筝 琵琶",
    "erhu": "erhu 二胡",
    "flute": "flute whistle dizi panpipe 长笛 笛 竹笛",
    "clarinet": "clarinet oboe bassoon 单簧管",
    "saxophone": "sax saxophone 萨克斯",
    "trumpet": "trumpet cornet 小号",
    "brass": "brass trombone horns 铜管",
    "horn": "frenchhorn tuba 圆号",
    "harmonica": "harmonica accordion 口琴 手风琴",
    "bells": "bell bells glockenspiel celesta musicbox 铃 钟琴",
    "vibraphone": "vibraphone marimba xylophone 马林巴",
    "choir": "choir chorus choral 合唱",
    "synth_lead": "synth synthesizer lead 合成器",
    "pad": "pads synthpad",
    "pluck": "arpeggio arp",
}

_NOTES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_SIGNS = {"": 0, "#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1, "升": 1, "降": -1}
_KEY = re.compile(
    r"(?<![A-Za-z])([A-G])\s?(#|♯|b|♭|-?sharp|-?flat)?\s*-?(major|minor|maj|min|大调|小调)(?![a-z])", re.IGNORECASE
)
_KEY_OF = re.compile(r"\bkey of ([A-G])\s?(#|♯|b|♭)?(m)?\b")
_SHORT = re.compile(r"([A-G])(#|b)?(m)?")
_BPM = re.compile(r"(\d{2,3})\s*(?:bpm|beats per minute|拍)", re.IGNORECASE)
_METRE = re.compile(r"\b([34])\s*/\s*4\b")
_WORD = re.compile(r"[a-z0-9&'\-]+|[\u3400-\u9fff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be played: all that the words decide, and for the rest what is usual."""

    genre: Genre
    moods: tuple[Mood, ...]
    tonic: int
    minor: bool
    bpm: int
    metre: int
    instruments: tuple[str, ...]
    without: frozenset[str]


def has(text: str, keys: str) -> int:
    """How many of the keys stand in a text: whole words for Latin letters, two joined too; anywhere for others."""
    low = text.lower()
    found = _WORD.findall(low)
    joined = {"".join(found[place : place + size]) for size in (2, 3) for place in range(len(found))}
    pool = {*found, *joined, *(word.replace("-", "") for word in found), *(p for w in found for p in w.split("-"))}
    return sum(key in pool if key.isascii() else key in low for key in keys.split())


def genres(style: str, prompt: str) -> list[Genre]:
    """The genres that the words name, the surest first. What the style says counts for more than the idea."""
    scores = [(3 * has(style, g.words) + has(prompt, g.words), -place, g) for place, g in enumerate(GENRES)]
    return [genre for score, _, genre in sorted(scores, key=lambda row: row[:2], reverse=True) if score]


def moods(style: str, prompt: str) -> tuple[Mood, ...]:
    """The moods that the words name, the surest first."""
    scores = [(3 * has(style, m.words) + has(prompt, m.words), -place, m) for place, m in enumerate(MOODS)]
    return tuple(mood for score, _, mood in sorted(scores, key=lambda row: row[:2], reverse=True) if score)


def instruments(text: str) -> tuple[str, ...]:
    """The instruments that the words name, in the order of the table."""
    found = [name for name, keys in INSTRUMENTS.items() if has(text, keys)]
    if "electric_guitar" in found and "acoustic_guitar" in found and "acoustic" not in text.lower():
        found.remove("acoustic_guitar")
    return tuple(found)


def key(text: str) -> tuple[int, bool] | None:
    """Pitch class of the tonic (0 is C) and whether it is minor, where the words name a key."""
    if match := _KEY.search(text):
        minor = match[3].lower() in {"minor", "min", "小调"}
        return (_NOTES[match[1].lower()] + _SIGNS[(match[2] or "").lower().lstrip("-")]) % 12, minor
    if match := _KEY_OF.search(text) or _SHORT.fullmatch(text.strip()):
        return (_NOTES[match[1].lower()] + _SIGNS[match[2] or ""]) % 12, bool(match[3])
    return None


def bpm(text: str) -> int | None:
    """Beats per minute where the words name them, within 40..240."""
    match = _BPM.search(text)
    return min(240, max(40, int(match[1]))) if match else None


def plan(style: str, prompt: str, negative: str, seed: int, index: int) -> Plan:
    """All that the words decide. ``index`` changes what they leave open: key, tempo, genre where none is named."""
    rng = chance("plan", style, prompt, seed, index)
    both = f"{style}\n{prompt}"
    named = genres(style, prompt)
    genre = named[0] if named else rng.choice([BY_NAME[name] for name in ("pop", "folk", "ballad", "synthwave")])
    if genre.name == "ballad" and len(named) > 1 and named[1].name in {"rock", "soul", "country"}:
        genre = named[1]
    mood = moods(style, prompt)
    tonic, minor = key(both) or _usual_key(rng, genre, mood)
    metre = _METRE.search(both)
    return Plan(
        genre=genre,
        moods=mood,
        tonic=tonic,
        minor=minor,
        bpm=bpm(both) or _usual_bpm(rng, genre, mood, slow=any(g.name == "ballad" for g in named)),
        metre=int(metre[1]) if metre else genre.metre,
        instruments=instruments(style) or instruments(prompt),
        without=_without(negative),
    )


def _usual_key(rng: Random, genre: Genre, mood: tuple[Mood, ...]) -> tuple[int, bool]:
    said = [m.minor for m in mood if m.minor is not None]
    return rng.choice((0, 2, 3, 4, 5, 7, 9, 10)), said[0] if said else genre.minor


def _usual_bpm(rng: Random, genre: Genre, mood: tuple[Mood, ...], *, slow: bool) -> int:
    low, high = (64, 80) if slow else genre.bpm
    if low == high:
        return low
    factor = 1.0
    for one in mood[:2]:
        factor *= one.tempo
    return round(rng.randint(low, high) * factor)


def _without(negative: str) -> frozenset[str]:
    """Instruments, and ``drums``, ``bass``, ``vocals``, that the words keep out."""
    out = {name for name, keys in INSTRUMENTS.items() if has(negative, keys)}
    for name, keys in (
        ("drums", "drums drum percussion beat 鼓"),
        ("bass", "bass 贝斯"),
        ("vocals", "vocals vocal 人声"),
    ):
        if has(negative, keys):
            out.add(name)
    return frozenset(out)
