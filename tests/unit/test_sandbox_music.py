"""The sandbox's music: what is composed is what is heard, and what files say about themselves is true."""

import hashlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("av")
pytest.importorskip("numpy")

import itertools

import av
import numpy as np

from tessera.providers.sandbox import booth, dsp, lyrics, memo, midi, music, recording, score, splitting, styles, tape
from tessera.providers.sandbox.dsp import RATE, Sound
from tessera.providers.sandbox.memo import Label, Memo
from tessera.providers.sandbox.score import PPQ, Score, Song
from tessera.providers.sandbox.trouble import BadMediaError

POP = Song(style="upbeat pop in A minor, 120 bpm", prompt="lanterns on the river", seconds=20, seed=3)
TECHNO = Song(style="techno", prompt="night drive", instrumental=True, seconds=12, seed=5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tape.Recording:
    return tape.song(POP, tmp_path_factory.mktemp("song"), "pop")


@pytest.fixture(scope="module")
def heard(made: tape.Recording) -> Sound:
    return recording.load(made.path)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sound]:
    """Somebody's file: chords and a kick at 100 bpm with a little difference between the sides, no memo."""
    time = np.arange(10 * RATE, dtype=np.float32) / RATE
    chord = sum((0.1 * np.sin(2 * np.pi * f * time) for f in (220.0, 277.18, 329.63)), np.zeros_like(time))
    kick = 0.6 * np.sin(2 * np.pi * 60 * time) * np.exp(-(time % 0.6) / 0.05)
    noise = 0.05 * dsp.noise("foreign", count=time.size)
    sound = np.stack([chord + kick + noise, chord + kick - noise]).astype(np.float32)
    path = tmp_path_factory.mktemp("foreign") / "theirs.wav"
    return recording.save(sound, path, Label(), "pcm_44100"), sound


def decibels(sound: Sound) -> float:
    return float(20 * np.log10(max(dsp.rms(sound), 1e-9)))


@pytest.mark.parametrize(
    ("style", "genre", "key", "bpm", "metre"),
    [
        ("sad piano ballad in A minor, 70 bpm", "ballad", "A minor", 70, 4),
        ("upbeat techno", "techno", None, 128, 4),
        ("Jazz, C# major", "jazz", "C# major", None, 4),
        ("waltz for piano, 3/4, key of Gm", "waltz", "G minor", None, 3),
        ("国风 古筝 D小调 80 bpm", "guofeng", "D minor", 80, 4),
        ("忧伤 流行", "pop", None, None, 4),
        ("drum'n'bass", "drum and bass", None, None, 4),
        ("R&B", "soul", None, None, 4),
    ],
)
def test_the_words_of_a_style_decide(style: str, genre: str, key: str | None, bpm: int | None, metre: int) -> None:
    made = score.compose(Song(style=style, prompt="river", instrumental=True, seconds=20))
    assert (made.genre, made.metre) == (genre, metre)
    assert key is None or made.key == key
    assert bpm is None or made.bpm == bpm


def test_a_sad_song_is_slower_and_minor() -> None:
    sad = [styles.plan("sad pop", "", "", seed, 0) for seed in range(12)]
    happy = [styles.plan("happy pop", "", "", seed, 0) for seed in range(12)]
    assert all(plan.minor for plan in sad) and not any(plan.minor for plan in happy)
    assert sum(plan.bpm for plan in sad) < sum(plan.bpm for plan in happy)


def test_what_the_negative_tags_name_stays_out() -> None:
    made = score.compose(replace(POP, negative="drums, piano, vocals"))
    assert {track.stem for track in made.tracks}.isdisjoint({"Drums", "Percussion", "Vocals"})
    assert "piano" not in {track.instrument for track in made.tracks}
    assert made.words == ()


def test_an_asked_instrument_plays() -> None:
    made = score.compose(Song(style="pop with harp and saxophone", instrumental=True, seconds=40))
    assert {"harp", "saxophone"} <= {track.instrument for track in made.tracks if track.notes}


@pytest.mark.parametrize("genre", styles.GENRES, ids=lambda genre: genre.name)
def test_every_genre_keeps_to_its_scale_and_its_time(genre: styles.Genre) -> None:
    made = score.compose(Song(style=genre.name, prompt="x", seconds=45, seed=1))
    assert made.genre == genre.name
    scale = {(made.tonic + step) % 12 for step in (score.MINOR if made.minor else score.MAJOR)}
    pitched = [n for t in made.tracks if t.channel != 9 and t.instrument != "fx" for n in t.notes]
    assert len(pitched) > 40
    assert sum(n.pitch % 12 in scale for n in pitched) / len(pitched) > (0.7 if genre.name == "blues" else 0.9)
    for track in made.tracks:
        assert all(
            0 <= n.pitch <= 127 and 1 <= n.velocity <= 127 and n.length > 0 and n.start >= 0 for n in track.notes
        )
        assert all(made.at(n.start) < made.seconds for n in track.notes)


@pytest.mark.parametrize(("asked", "given"), [(1.0, 5.0), (10.0, 10.0), (95.5, 95.5), (1000.0, 360.0), (None, 60.0)])
def test_a_song_is_as_long_as_was_asked_within_bounds(asked: float | None, given: float) -> None:
    made = score.compose(Song(style="pop", instrumental=True, seconds=asked))
    assert made.seconds == given
    assert made.sections and made.sections[0].start == 0


def test_given_lyrics_are_sung_word_by_word_in_their_order() -> None:
    text = "[Verse]\nHello river of light\nwe go home\n[Chorus]\n大家好 hello\nlast words"
    made = score.compose(Song(style="folk", lyrics=text, seconds=60))
    first = [word for word in made.words if word.start < made.at(10**9)][:14]
    said = ["Hello", "river", "of", "light", "we", "go", "home", "大", "家", "好", "hello", "last", "words"]
    assert [word.text for word in first[: len(said)]] == said
    assert (made.words[0].mark, made.words[7].mark) == ("[Verse]", "[Chorus]")


def test_word_times_rise_and_lie_in_the_song() -> None:
    words = score.compose(POP).words
    assert len(words) > 5
    assert all(0 <= word.start < word.end <= 20 for word in words)
    assert all(a.end <= b.start + 0.002 for a, b in itertools.pairwise(words))


def test_two_variants_of_an_order_are_different_music() -> None:
    one, two = score.compose(POP), score.compose(replace(POP, index=1))
    assert [s.chords for s in one.sections] != [s.chords for s in two.sections]
    assert one.tracks[0].notes != two.tracks[0].notes
    assert one.title != two.title


def test_a_song_is_as_long_as_its_score_and_loud_but_never_clipped(made: tape.Recording, heard: Sound) -> None:
    assert made.seconds == 20 and heard.shape == (2, 20 * RATE)
    assert recording.probe(made.path).seconds == 20
    assert -20 < decibels(heard) < -13
    assert 0.3 < float(np.abs(heard).max()) <= 0.99
    assert abs(float(heard.mean())) < 2e-3


def test_a_song_begins_and_ends_in_silence(heard: Sound) -> None:
    assert float(np.abs(heard[:, :40]).max()) < 0.02
    assert float(np.abs(heard[:, -40:]).max()) < 0.01


def test_the_pitches_that_sound_are_those_of_the_key(heard: Sound) -> None:
    found = dsp.chroma(heard)
    scale = [(9 + step) % 12 for step in score.MINOR]
    assert int(found.argmax()) in scale
    assert found[scale].sum() > 0.68


def test_the_beat_that_is_heard_is_the_one_that_was_asked() -> None:
    order = replace(TECHNO, style="techno, 134 bpm")
    assert abs(dsp.tempo(music.perform(score.compose(order))[""])[0] - 134) <= 1


@pytest.mark.parametrize(
    "instrument", ["piano", "acoustic_guitar", "strings", "flute", "pad", "bells", "sub", "trumpet"]
)
def test_a_note_has_its_pitch_and_no_clicks(instrument: str) -> None:
    from tessera.providers.sandbox import instruments

    pitch = 45 if instrument == "sub" else 69
    sound = instruments.note(instrument, pitch, RATE, loud=True)
    assert float(np.abs(sound[:, 0]).max()) < 1e-3 and float(np.abs(sound[:, -1]).max()) < 1e-3
    spectrum = np.abs(np.fft.rfft(sound.mean(axis=0)[: RATE // 2] * np.hanning(RATE // 2)))
    spectrum[: 40 if pitch > 50 else 20] = 0
    strongest = 2 * float(spectrum.argmax())
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    ratio = strongest / hertz
    assert abs(ratio - round(ratio)) < 0.03 and round(ratio) >= 1


@pytest.mark.parametrize("order", [POP, TECHNO], ids=["pop", "techno"])
def test_the_stems_add_up_to_the_mix(order: Song) -> None:
    made = score.compose(replace(order, seconds=8))
    mix = music.perform(made)[""]
    stems = music.perform(made, made.stems)
    assert set(stems) <= set(score.STEMS) and len(stems) >= 4
    assert all(float(np.abs(sound).max()) > 1e-3 for sound in stems.values())
    assert float(np.abs(sum(stems.values(), np.zeros_like(mix)) - mix).max()) < 1e-3


def parse_midi(data: bytes) -> tuple[int, list[list[tuple[int, int, int, int]]]]:
    """Microseconds a quarter, and for every track with notes its (start, length, pitch, velocity), in order."""
    assert data[:8] == b"MThd\0\0\0\6" and data[8:10] == b"\0\1" and data[12:14] == PPQ.to_bytes(2)
    place, tempo, tracks = 14, 0, []
    for _ in range(int.from_bytes(data[10:12])):
        assert data[place : place + 4] == b"MTrk"
        end = place + 8 + int.from_bytes(data[place + 4 : place + 8])
        place, now, on, found = place + 8, 0, {}, []
        while place < end:
            wait = 0
            while True:
                wait, byte, place = wait << 7 | data[place] & 0x7F, data[place], place + 1
                if byte < 0x80:
                    break
            now += wait
            status = data[place]
            if status == 0xFF:
                if data[place + 1] == 0x51:
                    tempo = int.from_bytes(data[place + 3 : place + 6])
                length, place = data[place + 2], place + 3
                assert length < 0x80
                place += length
            elif status & 0xF0 == 0xC0:
                place += 2
            else:
                pitch, velocity = data[place + 1 : place + 3]
                if status & 0xF0 == 0x90:
                    assert pitch not in on
                    on[pitch] = (now, velocity)
                else:
                    start, loud = on.pop(pitch)
                    found.append((start, now - start, pitch, loud))
                place += 3
        assert not on and place == end
        tracks += [sorted(found)] if found else []
    assert place == len(data)
    return tempo, tracks


def played(made: Score) -> list[list[tuple[int, int, int, int]]]:
    return [sorted((n.start, n.length, n.pitch, n.velocity) for n in t.notes) for t in made.tracks if t.notes]


@pytest.mark.parametrize("style", ["pop", "jazz", "metal", "waltz", "国风"])
def test_the_midi_file_has_the_notes_of_the_score(style: str) -> None:
    made = score.compose(Song(style=style, prompt="river", title="x", seconds=30))
    assert parse_midi(midi.write(made)) == (made.tempo, played(made))


def test_stems_notes_and_word_times_come_from_the_file_alone(made: tape.Recording, tmp_path: Path) -> None:
    composed = score.compose(POP)
    assert tape.words(made.path) == composed.words == made.words
    vocals, backing = tape.stems(made.path, "separate_vocal", tmp_path, "s")
    assert (vocals.stem, backing.stem) == ("Vocals", "Instrumental")
    both = recording.load(vocals.path) + recording.load(backing.path)
    assert decibels(both - recording.load(made.path)) < -30
    assert tape.notes(made.path) == score.notes(composed)
    assert {row["stem"] for row in tape.notes(vocals.path)} == {"Vocals"}
    tempo, tracks = parse_midi(tape.midi(made.path, tmp_path / "x.mid").read_bytes())
    assert (tempo, tracks) == (composed.tempo, played(composed))


def test_one_instrument_and_the_rest_are_the_song(made: tape.Recording, heard: Sound, tmp_path: Path) -> None:
    kit, rest = tape.stems(made.path, "split_stem_advanced", tmp_path, "s", "Drum Kit")
    assert (kit.stem, rest.stem) == ("Drum Kit", "No Drum Kit")
    assert {row["stem"] for row in tape.notes(kit.path)} == {"Drums"}
    assert decibels(recording.load(kit.path) + recording.load(rest.path) - heard) < -30


def test_the_tags_and_the_cover_can_be_read(made: tape.Recording) -> None:
    with av.open(str(made.path)) as file:
        assert file.metadata["title"] == made.title
        assert "sandbox" in file.metadata["comment"].lower()
        assert made.lyrics.splitlines()[0] in file.metadata["lyrics-eng"]
        (picture,) = file.streams.video
        assert next(file.decode(picture)).width == 640
    assert made.cover is not None
    with Image.open(made.cover) as beside:
        assert (beside.size, beside.format) == ((640, 640), "JPEG")
    assert made.cover.read_bytes() in made.path.read_bytes()


def test_the_wav_file_is_the_same_sound(made: tape.Recording, heard: Sound, tmp_path: Path) -> None:
    wav = tape.wav(made.path, tmp_path / "x.wav")
    data = wav.path.read_bytes()
    assert data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") == len(data) - 8
    assert recording.probe(wav.path) == recording.Facts(seconds=20.0, rate=RATE, channels=2, codec="pcm_s16le")
    assert float(np.abs(recording.load(wav.path) - heard).max()) < 2e-4 + max(0.0, float(np.abs(heard).max()) - 1)
    assert tape.words(wav.path) == made.words


def test_the_same_order_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    order = replace(POP, seconds=6)
    here = hashlib.sha256(tape.song(order, tmp_path, "here").path.read_bytes()).hexdigest()
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "import hashlib, pathlib\nfrom tessera.providers.sandbox import tape\n"
        "from tessera.providers.sandbox.score import Song\n"
        f"made = tape.song({order!r}, pathlib.Path({str(tmp_path)!r}), 'there')\n"
        "print(hashlib.sha256(made.path.read_bytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == here


def test_to_order_needs_neither_codec_nor_arrays() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from tessera.providers.sandbox import tape, score, lyrics, memo, midi, phonemes, trouble\n"
        "score.compose(score.Song(prompt='x'))\nassert not {'av', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60)


# Sound of others.


def test_an_extension_keeps_the_source_and_goes_on_at_its_end(foreign: tuple[Path, Sound], tmp_path: Path) -> None:
    path, source = foreign
    made = tape.extend(path, Song(style="rock", instrumental=True, seconds=8), 6.0, tmp_path, "x")
    out = recording.load(made.path)
    assert made.seconds == 14 and out.shape[1] == 14 * RATE
    assert decibels(out[:, : 5 * RATE] - source[:, : 5 * RATE]) < -30
    assert all(abs(decibels(out[:, a * RATE : (a + 2) * RATE]) - decibels(source)) < 9 for a in (5, 7, 9))
    assert abs(made.bpm - 100) <= 1


def test_only_the_replaced_section_changes(foreign: tuple[Path, Sound], tmp_path: Path) -> None:
    path, source = foreign
    out = recording.load(tape.replace_section(path, Song(style="jazz", seed=2), 4.0, 7.0, tmp_path, "x").path)
    assert out.shape == source.shape
    apart = np.abs(out - source).max(axis=0)
    outside = np.concatenate([apart[: round(3.9 * RATE)], apart[round(7.1 * RATE) :]])
    assert float(np.sqrt((outside**2).mean())) < 0.04 < float(np.sqrt((apart[5 * RATE : 6 * RATE] ** 2).mean()))


def test_an_extension_from_the_end_has_the_asked_length_and_no_silence(
    foreign: tuple[Path, Sound], tmp_path: Path
) -> None:
    made = tape.extend(foreign[0], Song(style="house", instrumental=True, seconds=6), None, tmp_path, "x")
    out = recording.load(made.path)
    assert out.shape[1] / RATE == pytest.approx(16, abs=1e-3)
    assert decibels(out[:, 9 * RATE : 11 * RATE]) > -30


@pytest.mark.parametrize(("start", "end"), [(3.0, 3.2), (9.0, 2.0), (50.0, 60.0)])
def test_an_empty_section_is_refused(foreign: tuple[Path, Sound], tmp_path: Path, start: float, end: float) -> None:
    with pytest.raises(BadMediaError):
        tape.replace_section(foreign[0], Song(), start, end, tmp_path, "x")


def test_a_cover_is_as_long_as_its_source_and_new(foreign: tuple[Path, Sound], tmp_path: Path) -> None:
    made = tape.cover(foreign[0], Song(style="lo-fi", instrumental=True), tmp_path, "x")
    assert made.seconds == 10 and abs(made.bpm - 100) <= 1
    assert abs(float(np.corrcoef(recording.load(made.path)[0], foreign[1][0])[0, 1])) < 0.3


def test_backing_and_singing_are_laid_over_what_was_there(foreign: tuple[Path, Sound], tmp_path: Path) -> None:
    path, source = foreign
    for door, order in (
        (tape.add_instrumental, Song(style="pop")),
        (tape.add_vocals, Song(style="pop", prompt="river")),
    ):
        made = door(path, order, tmp_path, "x")
        out = recording.load(made.path)
        assert out.shape == source.shape
        shared = float(np.corrcoef(out[0], source[0])[0, 1])
        assert 0.3 < shared < 0.99


def test_a_mashup_has_both_songs_in_one_tempo(foreign: tuple[Path, Sound], tmp_path: Path) -> None:
    other = recording.save(music.perform(score.compose(TECHNO))[""], tmp_path / "other.wav", Label(), "pcm_44100")
    made = tape.mashup(foreign[0], other, Song(), tmp_path, "x")
    out = recording.load(made.path)
    assert made.seconds == pytest.approx(12, abs=4)
    assert abs(dsp.tempo(out)[0] - 100) <= 2
    assert float(np.abs(out).max()) <= 0.99


def test_foreign_parts_add_up_and_the_kick_is_found_among_the_low_ones(foreign: tuple[Path, Sound]) -> None:
    parts = splitting.split(foreign[1])
    whole = sum(parts.values(), np.zeros_like(foreign[1]))
    assert float(np.abs(whole - foreign[1])[:, RATE:-RATE].max()) < 1e-3
    low = {name: dsp.rms(dsp.band(part, 20, 90)) for name, part in parts.items()}
    assert low["Bass"] + low["Drums"] > 5 * low["Vocals"]


def test_what_stands_on_one_side_is_no_voice() -> None:
    time = np.arange(3 * RATE, dtype=np.float32) / RATE
    middle, aside = 0.3 * np.sin(2 * np.pi * 600 * time), 0.3 * np.sin(2 * np.pi * 1500 * time)
    sound = np.stack([middle + aside, middle]).astype(np.float32)
    vocals = splitting.split(sound)["Vocals"][:, RATE : 2 * RATE]
    spectrum = np.abs(np.fft.rfft(vocals[0]))
    assert spectrum[600] > 5 * spectrum[1500]


def test_stretching_changes_the_tempo_and_not_the_pitch() -> None:
    time = np.arange(2 * RATE, dtype=np.float32) / RATE
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    out = dsp.stretch(tone, 1.25)
    assert abs(out.size - 1.6 * RATE) < 10
    spectrum = np.abs(np.fft.rfft(out[:RATE] * np.hanning(RATE)))
    assert abs(int(spectrum.argmax()) - 440) <= 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a sound at all" * 100,
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/x.mp3\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\2\0",
        b"ID3\4\0\0\x7f\x7f\x7f\x7f" + b"\0" * 500,
    ],
    ids=["empty", "text", "playlist", "concat", "cut wav", "endless tag"],
)
def test_what_is_no_sound_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(data)
    for work in (recording.load, recording.probe, lambda p: recording.wav(p, tmp_path / "out.wav"), tape.transcribe):
        with pytest.raises(BadMediaError):
            work(path)


def test_a_longer_sound_than_is_worked_on_is_refused_whatever_it_claims(foreign: tuple[Path, Sound]) -> None:
    with pytest.raises(BadMediaError, match="longer than 4"):
        recording.load(foreign[0], longest=4)


def test_a_picture_is_no_sound(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "x.png")
    with pytest.raises(BadMediaError):
        recording.load(tmp_path / "x.png")


GOOD = json.loads(memo.dump(Memo(song=POP)))


@pytest.mark.parametrize(
    "change",
    [
        {"tessera": 99},
        {"stem": 5},
        {"song": {}},
        {"song": GOOD["song"] | {"seconds": 1e9}},
        {"song": GOOD["song"] | {"seconds": "60"}},
        {"song": GOOD["song"] | {"bpm": 1.5}},
        {"song": GOOD["song"] | {"bpm": True}},
        {"song": GOOD["song"] | {"lyrics": "x" * 30_000}},
        {"song": GOOD["song"] | {"more": 1}},
        {"song": [1]},
    ],
)
def test_a_memo_that_is_not_quite_ours_is_not_believed(change: dict[str, object]) -> None:
    assert memo.read(json.dumps(GOOD)) == Memo(song=POP)
    assert memo.read(json.dumps(GOOD | change)) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000, '{"tessera": 1}', '{"tessera": 1, "words": 3}', "x" * 2_000_000]
)
def test_other_comments_are_no_memos(text: str) -> None:
    assert memo.read(text) is None


def test_hostile_word_times_are_not_believed() -> None:
    for row in (["a", 2, 1, "", ""], ["a", -1, 1, "", ""], ["a", 0, float("nan"), "", ""], ["a", 0], [1, 0, 1, "", ""]):
        assert memo.read(json.dumps({"tessera": 1, "title": "", "text": "", "words": [row]})) is None


def test_lyrics_are_about_the_prompt_and_have_their_marks() -> None:
    title, text = lyrics.write_lyrics("a song about lanterns and the harbour", 1, 0)
    assert "[Verse 1]" in text and "[Chorus]" in text
    assert "lanterns" in text.lower() and "harbour" in text.lower() and title
    assert lyrics.write_lyrics("a song about lanterns and the harbour", 1, 1) != (title, text)
    assert "海" in lyrics.write_lyrics("写一首关于大海的歌", 1, 0)[1]
    assert all(len(lyrics.title("word " * 200, seed)) <= 80 for seed in range(5))


def test_a_boosted_style_says_more_and_keeps_what_was_said() -> None:
    text = lyrics.boost_style("sad piano ballad, 66 bpm")
    assert text.startswith("sad piano ballad") and "66 bpm" in text and "minor" in text and len(text) > 100


@pytest.mark.parametrize(
    ("name", "stem"),
    [("Lead Vocal", "Vocals"), ("Synth Bass", "Bass"), ("Synth Strings", "Synth"), ("Hi-Hat", "Drums"),
     ("Cello", "Strings"),
     ("Rhodes", "Keyboard"), ("French Horn", "Brass"), ("Bassoon", "Woodwinds"), ("Steel Drums", "Percussion"),
     ("Drum Kit", "Drums"), ("Double Bass", "Bass"), ("Zither of the moon", "Synth")],
)  # fmt: skip
def test_an_instrument_belongs_to_a_family(name: str, stem: str) -> None:
    assert booth.family(name) == stem


@pytest.mark.parametrize("form", ["mp3_22050_32", "pcm_24000", "ulaw_8000", "alaw_8000", "opus_48000_64"])
def test_every_form_can_be_read_again(tmp_path: Path, form: str) -> None:
    time = np.arange(RATE, dtype=np.float32) / RATE
    tone = (0.4 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    note = Memo(text="hello", title="x")
    path = recording.save(tone, tmp_path / f"x{recording.suffix(form)}", Label(memo=note), form)
    facts = recording.probe(path)
    assert facts.seconds == pytest.approx(1, abs=0.002) and facts.channels == 1
    assert facts.rate == int(form.split("_")[1])
    assert int(np.abs(np.fft.rfft(recording.load(path)[0, :RATE])).argmax()) == pytest.approx(1000, abs=2)
    assert recording.memo(path) == note


@pytest.mark.parametrize("form", ["mp3_44100x", "flac_44100", "mp3_7", "pcm", "../x"])
def test_an_unknown_form_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match="no sound format"):
        recording.suffix(form)


def test_a_cover_picture_does_not_end_the_search_for_sound(made: tape.Recording) -> None:
    assert io.BytesIO(made.path.read_bytes()).read(3) == b"ID3"
    assert recording.probe(made.path).codec == "mp3"
