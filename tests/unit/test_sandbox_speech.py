"""The sandbox's voices and sounds: rhythm, pitch and transcripts that are true."""

from pathlib import Path

import pytest

pytest.importorskip("av")
pytest.importorskip("numpy")

import itertools

import numpy as np

from tessera.providers.sandbox import dsp, effects, phonemes, recording, splitting, tape, voices
from tessera.providers.sandbox.dsp import RATE, Sound
from tessera.providers.sandbox.memo import Label
from tessera.providers.sandbox.score import Note

TEXT = "Hello there, this is the sandbox. Can you hear me?"


def pitch(sound: Sound) -> float:
    """The pitch that is heard most, in Hz, by autocorrelation of the loudest moment."""
    level = np.convolve(sound**2, np.ones(4096), "same")
    place = int(level[4096:-4096].argmax()) + 4096
    piece = sound[place - 2048 : place + 2048] * np.hanning(4096)
    echo = np.fft.irfft(np.abs(np.fft.rfft(piece, 8192)) ** 2)
    low, high = RATE // 420, RATE // 70
    return RATE / (low + int(echo[low:high].argmax()))


@pytest.mark.parametrize(
    ("word", "count"),
    [("hello", 2), ("sandbox", 2), ("beautiful", 3), ("river", 2), ("make", 1), ("jumped", 1), ("station", 2), ("a", 1),
     ("музыка", 3), ("zzz", 1), ("你", 1)],
)  # fmt: skip
def test_words_have_their_syllables(word: str, count: int) -> None:
    found = phonemes.syllables(word)
    assert len(found) == count
    assert all(sum(sound in phonemes.VOWELS for sound in syllable) == 1 for syllable in found)


def test_every_sound_of_the_rules_can_be_spoken() -> None:
    known = set(voices._VOWELS) | set(voices._CONSONANTS)
    words = "the quick brown fox jumps over thy lazy dog she measures joyful nature which things sing vision 一二三你好"
    said = {sound for word in phonemes.speak(words) for syllable in word.syllables for sound in syllable}
    assert said <= known and known >= phonemes.VOWELS and len(said) > 25


def test_numbers_are_read_as_words() -> None:
    assert [word.text for word in phonemes.speak("42 and 1905")] == [
        "forty", "two", "and", "one", "thousand", "nine", "hundred", "five",
    ]  # fmt: skip


def test_word_times_rise_and_the_voice_sounds_in_them_and_rests_between_sentences() -> None:
    sound, words = voices.say(TEXT, voices.voice("Rachel"))
    assert [word.text for word in words] == [
        "Hello",
        "there",
        "this",
        "is",
        "the",
        "sandbox",
        "Can",
        "you",
        "hear",
        "me",
    ]
    assert all(0 < a.start < a.end <= b.start + 1e-6 for a, b in itertools.pairwise(words))
    assert words[-1].end < sound.size / RATE < 8
    level = [float(np.abs(sound[int(w.start * RATE) : int(w.end * RATE)]).max()) for w in words]
    rest = sound[int((words[5].end + 0.1) * RATE) : int((words[6].start - 0.1) * RATE)]
    assert min(level) > 0.1 * max(level) and float(np.abs(rest).max()) < 0.05 * max(level)


def test_faster_speech_is_shorter() -> None:
    slow, quick = (voices.say(TEXT, voices.voice("Rachel"), 0, speed)[0].size for speed in (0.7, 1.2))
    assert 1.3 < slow / quick < 2.0


def test_a_man_speaks_lower_than_a_woman_and_names_differ() -> None:
    rachel, george = (pitch(voices.say("Aah, mama.", voices.voice(name))[0]) for name in ("Rachel", "George"))
    assert 75 < george < 165 < rachel < 320
    assert len({voices.voice(name) for name in ("Rachel", "Sarah", "Lily", "EkK5I93UQWFDigLMpZcX", "")}) == 5
    assert voices.voice("Rachel") == voices.voice(" rachel ")


def test_vowels_have_their_own_resonances() -> None:
    def balance(word: str) -> float:
        sound, times = voices.say(word, voices.voice("George"))
        piece = sound[int((times[0].start + 0.05) * RATE) : int(times[0].end * RATE)]
        return dsp.rms(dsp.band(piece, 1700, 2800, steep=14)) / dsp.rms(dsp.band(piece, 550, 1300, steep=14))

    assert balance("ee") > 4 * balance("aw")


def test_a_question_rises_and_a_statement_falls() -> None:
    def last(text: str) -> float:
        sound, times = voices.say(text, voices.voice("George"))
        return pitch(np.pad(sound[int((times[-1].end - 0.08) * RATE) : int(times[-1].end * RATE)], 8192))

    assert last("You see me?") > 1.15 * last("You see me.")


def test_a_sung_note_has_its_pitch() -> None:
    note = Note(start=0, length=480, pitch=57, velocity=90, sung=("L", "AA"))
    sound = voices.sing([note], [0.0], [1.0], voices.singer("m", 1), 1)
    assert pitch(sound) == pytest.approx(220, rel=0.04)


def test_a_dialogue_has_its_speakers_and_says_what_it_says(tmp_path: Path) -> None:
    lines = (
        tape.Line(text="Who goes there?", voice="George"),
        tape.Line(text="Only the wind.", voice="Aria", speaker="A"),
    )
    made = tape.say(lines, 1, tmp_path, "x")
    heard = tape.transcribe(made.path)
    assert heard.known and heard.text == "Who goes there? Only the wind."
    assert [(w.text, w.speaker) for w in heard.words[2:4]] == [("there", "George"), ("Only", "A")]
    assert heard.words == made.words and heard.seconds == pytest.approx(made.seconds, abs=1e-3)
    sound = recording.load(made.path)
    assert -20 < 20 * np.log10(dsp.rms(sound)) < -13 and float(np.abs(sound).max()) < 0.99


def test_the_same_lines_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    line = (tape.Line(text="Same again.", voice="Lily"),)
    one, two, other = (
        tape.say(line, seed, tmp_path, name).path.read_bytes() for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    )
    assert one == two != other


def test_a_transcript_survives_a_wav_and_an_isolation(tmp_path: Path) -> None:
    made = tape.say((tape.Line(text="Keep my words.", voice="Brian"),), 1, tmp_path, "x")
    for path in (tape.wav(made.path, tmp_path / "x.wav").path, tape.isolate(made.path, tmp_path, "y").path):
        assert tape.transcribe(path).words == made.words


def test_of_foreign_sound_only_its_segments_are_told(tmp_path: Path) -> None:
    sound = np.zeros(6 * RATE, np.float32)
    for start in (1, 4):
        sound[start * RATE : (start + 1) * RATE] = 0.3 * dsp.noise("talk", start, count=RATE)
    path = recording.save(sound, tmp_path / "x.wav", Label(), "pcm_44100")
    heard = tape.transcribe(path)
    assert not heard.known and heard.words == ()
    assert heard.text == "[sandbox: 6.0 seconds of sound, 2 segments of voice]"
    assert np.allclose(heard.segments, [(1, 2), (4, 5)], atol=0.05)


def test_isolation_takes_the_noise_from_between_the_words(tmp_path: Path) -> None:
    speech, words = voices.say("Hello there. Hello there.", voices.voice("Rachel"))
    noise = 0.03 * dsp.noise("bed", count=2 * speech.size).reshape(2, -1)
    path = recording.save((speech * 0.3 + noise).astype(np.float32), tmp_path / "x.wav", Label(), "pcm_44100")
    out = recording.load(tape.isolate(path, tmp_path, "y").path)

    def ratio(sound: Sound) -> float:
        mono = sound.mean(axis=0)
        said = mono[int(words[0].start * RATE) : int(words[0].end * RATE)]
        rest = mono[int((words[1].end + 0.1) * RATE) : int((words[2].start - 0.1) * RATE)]
        return float(np.sqrt((said**2).mean() / (rest**2).mean()))

    assert ratio(out) > 4 * ratio(recording.load(path))


@pytest.mark.parametrize("name", effects.KINDS)
def test_every_sound_is_loud_finite_and_without_clicks_at_its_ends(name: str) -> None:
    prompt = effects.KINDS[name][0].split()[0] if name != "sweep" else "qwzx"
    assert name in (effects.kinds(prompt) or ["sweep"])
    sound = effects.make(effects.Effect(prompt=prompt, seconds=2))
    assert sound.shape == (2, 2 * RATE) and bool(np.isfinite(sound).all())
    assert 0.02 < dsp.rms(sound) < 0.3 and float(np.abs(sound).max()) <= dsp.CEILING + 1e-6
    assert float(np.abs(sound[:, [0, -1]]).max()) < 0.01


def test_a_heartbeat_is_low_and_birds_are_high() -> None:
    def share(prompt: str) -> float:
        sound = effects.make(effects.Effect(prompt=prompt, seconds=3))
        return dsp.rms(dsp.band(sound, 1500, 9000)) / dsp.rms(dsp.band(sound, 20, 300))

    assert share("heartbeat") < 0.2 and share("birds in the morning") > 10


def test_beats_come_at_the_asked_tempo() -> None:
    sound = effects.make(effects.Effect(prompt="knock on the door", seconds=6, bpm=150))
    assert dsp.tempo(sound)[0] % 75 == pytest.approx(0, abs=1.5)


def test_a_loop_joins_its_own_beginning() -> None:
    sound = effects.make(effects.Effect(prompt="drone of a spaceship", seconds=3, loop=True))
    step = float(np.abs(np.diff(sound[0])).max())
    assert sound.shape[1] == 3 * RATE
    assert abs(float(sound[0, 0] - sound[0, -1])) <= 2 * step
    edge, middle = dsp.rms(sound[:, -RATE // 4 :]), dsp.rms(sound)
    assert edge > 0.3 * middle


def test_effects_differ_by_seed_and_keep_to_their_length(tmp_path: Path) -> None:
    one = tape.effect(tape.Sounds(prompt="rain and thunder", seconds=2.5, seed=1), tmp_path, "a")
    two = tape.effect(tape.Sounds(prompt="rain and thunder", seconds=2.5, seed=2), tmp_path, "b", "pcm_24000")
    assert recording.probe(one.path).seconds == 2.5 == recording.probe(two.path).seconds
    assert two.path.suffix == ".wav" and one.tags == "rain, thunder"
    assert float(np.abs(recording.load(one.path) - recording.load(two.path)).max()) > 0.05


@pytest.mark.parametrize("text", ["", "...", "🎉", "a" * 3000, "\0", "word " * 200])
def test_any_text_can_be_spoken(text: str) -> None:
    sound, words = voices.say(text, voices.voice("x"))
    assert 0.1 < sound.size / RATE < 600 and bool(np.isfinite(sound).all())
    assert all(word.end <= sound.size / RATE for word in words)


def test_silence_has_no_segments() -> None:
    assert splitting.segments(np.zeros(RATE, np.float32)) == []
    assert splitting.segments(np.zeros(10, np.float32)) == []
