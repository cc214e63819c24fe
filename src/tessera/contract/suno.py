"""The Suno family on the wire. Names are theirs, and so are the places where they change their spelling."""

from typing import Any, Literal

import msgspec

from tessera.contract.envelope import Envelope

Model = Literal["V3_5", "V4", "V4_5", "V4_5PLUS", "V4_5ALL", "V5", "V5_5", "V6", "V6_WILD", "V6_MINI"]
UploadModel = Literal["V4_5PLUS", "V5", "V5_5", "V6", "V6_WILD", "V6_MINI"]
SoundModel = Literal["V5", "V5_5", "V6", "V6_WILD", "V6_MINI"]
Gender = Literal["m", "f", "d", "auto"]
"""Two clients also send the last two, which wish for nothing."""
PersonaModel = Literal["style_persona", "voice_persona"]
SoundKey = Literal[
    "Any", "Cm", "C#m", "Dm", "D#m", "Em", "Fm", "F#m", "Gm", "G#m", "Am", "A#m", "Bm", "C", "C#", "D", "D#", "E", "F",
    "F#", "G", "G#", "A", "A#", "B",
]  # fmt: skip
Split = Literal["separate_vocal", "split_stem", "split_stem_advanced"]
StemName = Literal[
    "Lead Vocal", "Drum Kit", "Kick", "Snare", "Risers", "Bass", "Backing Vocals", "Piano", "Electric Guitar",
    "Percussion", "String Section", "Synth", "Acoustic Guitar", "Sound Effects", "Synth Pad", "Synth Bass", "Guitar",
    "Brass Section", "Organ", "Electronic Drum Kit", "Lead Electric Guitar", "Synth Keys", "Rhythm Electric Guitar",
    "Electric Piano", "Upright Bass", "Keyboards", "Distorted Electric Guitar", "Synth Strings", "Synth Lead",
    "Woodwinds", "Rhythm Acoustic Guitar", "Flute", "Harp", "Tambourine", "Trumpet", "Arpeggiator", "Accordion",
    "Fiddle", "Pedal Steel Guitar", "Synth Voice", "Violin", "Digital Piano", "Synth Brass", "Mandolin", "Choir",
    "Banjo", "Bells", "Clarinet", "Tenor Saxophone", "Trombone", "Shaker", "French Horn", "Glockenspiel",
    "Electric Bass", "Cello", "Timpani", "Harmonica", "Marimba", "Vibraphone", "Lap Steel Guitar", "Saxophone",
    "Orchestra", "Horns", "Cymbals", "Hand Clap", "Oboe", "Celesta", "Congas", "Drone", "Alto Saxophone",
    "Double Bass", "Ukulele", "Harpsichord", "Baritone Saxophone", "Xylophone", "Tuba", "Bass Guitar", "Whistle",
    "Lead Guitar", "Rhodes", "808", "Bongos", "Bassoon", "Cowbell", "Viola", "Sitar", "Steel Drums", "Piccolo",
    "Theremin", "Bagpipes", "Hi-Hat", "Music Box", "Melodica", "Tabla", "Koto", "Djembe", "Taiko", "Didgeridoo",
]  # fmt: skip
Language = Literal["en", "zh", "es", "fr", "pt", "de", "ja", "ko", "hi", "ru"]
Skill = Literal["beginner", "intermediate", "advanced", "professional"]
Unset = msgspec.UnsetType
"""A field that is left out where it is not known."""

MusicStatus = Literal[
    "PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS", "SUCCESS", "CREATE_TASK_FAILED", "GENERATE_AUDIO_FAILED",
    "SENSITIVE_WORD_ERROR",
]  # fmt: skip
"""CALLBACK_EXCEPTION is documented, too, and never said: a callback that fails must not hide finished tracks."""
LyricsStatus = Literal["PENDING", "SUCCESS", "CREATE_TASK_FAILED", "GENERATE_LYRICS_FAILED", "SENSITIVE_WORD_ERROR"]
WavStatus = Literal["PENDING", "SUCCESS", "CREATE_TASK_FAILED", "GENERATE_WAV_FAILED"]
StemsStatus = Literal["PENDING", "SUCCESS", "CREATE_TASK_FAILED", "GENERATE_AUDIO_FAILED"]
VideoStatus = Literal["PENDING", "SUCCESS", "CREATE_TASK_FAILED", "GENERATE_MP4_FAILED"]
VoiceStatus = Literal[
    "wait_processing", "processing_validate", "processing_validate_fail", "wait_validating", "success", "fail"
]


# ---- songs: what is sent ----


class SunoWishes(msgspec.Struct, frozen=True, kw_only=True):
    """What all that makes songs may be told besides. Unknown fields are ignored, a null is a field left out."""

    callBackUrl: str | None = None
    negativeTags: str | None = None
    vocalGender: Gender | None = None
    styleWeight: float | None = None
    weirdnessConstraint: float | None = None
    audioWeight: float | None = None
    personaId: str | None = None
    personaModel: PersonaModel | None = None


class SunoGenerate(SunoWishes, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/generate``. ``lyrics`` is newer than the others: what to sing beside the idea."""

    customMode: bool
    instrumental: bool
    model: Model
    prompt: str | None = None
    style: str | None = None
    title: str | None = None
    lyrics: str | None = None
    duration: float | None = None


class SunoExtend(SunoWishes, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/generate/extend``."""

    defaultParamFlag: bool
    audioId: str
    model: Model
    prompt: str | None = None
    style: str | None = None
    title: str | None = None
    continueAt: float | None = None
    instrumental: bool | None = None


class SunoUploadCover(SunoGenerate, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/generate/upload-cover``."""

    uploadUrl: str


class SunoUploadExtend(SunoWishes, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/generate/upload-extend``."""

    uploadUrl: str
    defaultParamFlag: bool
    model: Model
    prompt: str | None = None
    style: str | None = None
    title: str | None = None
    continueAt: float | None = None
    instrumental: bool | None = None


class SunoAddInstrumental(SunoWishes, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/generate/add-instrumental``. The style is called ``tags`` here."""

    uploadUrl: str
    title: str
    tags: str
    model: UploadModel | None = None


class SunoAddVocals(SunoWishes, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/generate/add-vocals``."""

    uploadUrl: str
    prompt: str
    title: str
    style: str
    model: UploadModel | None = None


class SunoReplaceSection(SunoWishes, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/generate/replace-section``; ``lyrics`` is another name of ``fullLyrics``."""

    prompt: str
    tags: str
    title: str
    infillStartS: float
    infillEndS: float
    fullLyrics: str | None = None
    lyrics: str | None = None
    taskId: str | None = None
    audioId: str | None = None
    uploadUrl: str | None = None
    model: Model | None = None


class SunoMashup(SunoWishes, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/generate/mashup``."""

    uploadUrlList: list[str]
    customMode: bool
    model: Model
    instrumental: bool | None = None
    prompt: str | None = None
    style: str | None = None
    title: str | None = None
    duration: float | None = None


class SunoSounds(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/generate/sounds``."""

    prompt: str
    model: SoundModel
    soundLoop: bool | None = None
    soundTempo: float | None = None
    soundKey: SoundKey | None = None
    grabLyrics: bool | None = None
    callBackUrl: str | None = None


# ---- songs: what is answered ----


class SunoTrack(msgspec.Struct, frozen=True, kw_only=True):
    """A song of a record. A link that is not there yet is an empty text; ``duration`` is in seconds."""

    id: str
    audioUrl: str
    sourceAudioUrl: str | None
    streamAudioUrl: str
    sourceStreamAudioUrl: str | None
    imageUrl: str
    sourceImageUrl: str | None
    prompt: str
    modelName: str
    title: str
    tags: str
    createTime: int
    duration: float | None


class SunoMusicResult(msgspec.Struct, frozen=True, kw_only=True):
    taskId: str
    sunoData: list[SunoTrack]
    errorMessage: str | Unset | None = msgspec.UNSET


class SunoMusicRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` of the music record-info. ``createTime`` is in milliseconds since 1970."""

    taskId: str
    parentMusicId: str
    param: str
    response: SunoMusicResult | None
    status: MusicStatus
    type: str
    operationType: str
    errorCode: int | None
    errorMessage: str | None
    createTime: int


class SunoToldTrack(msgspec.Struct, frozen=True, kw_only=True):
    """A song of a callback. ``createTime`` is a text here: YYYY-MM-DD HH:MM:SS, in UTC."""

    id: str
    audio_url: str
    source_audio_url: str | None
    stream_audio_url: str
    source_stream_audio_url: str | None
    image_url: str
    source_image_url: str | None
    prompt: str
    model_name: str
    title: str
    tags: str
    createTime: str
    duration: float | None


class SunoTold(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` of a music or lyrics callback; ``error`` is said of a section that was not replaced."""

    callbackType: Literal["text", "first", "complete", "error"]
    task_id: str
    data: list[Any] | Unset | None = msgspec.UNSET
    error: str | Unset = msgspec.UNSET


# ---- one track of a task ----


class SunoTrackRef(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/generate/get-timestamped-lyrics``."""

    taskId: str
    audioId: str


class SunoWav(SunoTrackRef, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/wav/generate``."""

    callBackUrl: str | None = None


class SunoVideo(SunoTrackRef, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/mp4/generate``. ``domainName`` is the watermark."""

    author: str | None = None
    domainName: str | None = None
    callBackUrl: str | None = None


class SunoPersona(SunoTrackRef, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/generate/generate-persona``; the span is in seconds."""

    name: str
    description: str
    vocalStart: float | None = None
    vocalEnd: float | None = None
    style: str | None = None


class SunoStems(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/vocal-removal/generate``."""

    taskId: str | None = None
    audioId: str | None = None
    audioUrl: str | None = None
    type: Split | None = None
    stemName: StemName | None = None
    callBackUrl: str | None = None


class SunoMidi(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/midi/generate``: the id of a stem task, and of one of its stems."""

    taskId: str
    audioId: str | None = None
    callBackUrl: str | None = None


class SunoCover(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/suno/cover/generate``."""

    taskId: str
    callBackUrl: str | None = None


class SunoPersonaMade(msgspec.Struct, frozen=True, kw_only=True):
    personaId: str
    name: str
    description: str


class SunoWord(msgspec.Struct, frozen=True, kw_only=True):
    """A word and when it is sung, in seconds. ``palign`` is how well that is known, as its maker counts."""

    word: str
    startS: float
    endS: float
    success: bool = True
    palign: float = 0


class SunoTimedLyrics(msgspec.Struct, frozen=True, kw_only=True):
    alignedWords: list[SunoWord]
    waveformData: list[float]
    hootCer: float | None
    isStreamed: bool


class SunoWavResult(msgspec.Struct, frozen=True, kw_only=True):
    audioWavUrl: str


class SunoTrackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the records of work on one track have in common. ``musicIndex`` is its place in its task."""

    taskId: str
    musicId: str | None
    callbackUrl: str | None
    musicIndex: int | None
    errorCode: int | None
    errorMessage: str | None


class SunoWavRecord(SunoTrackRecord, frozen=True, kw_only=True):
    """``data`` of the WAV record-info. Times are milliseconds since 1970."""

    response: SunoWavResult | None
    successFlag: WavStatus
    completeTime: int | None
    createTime: int


class SunoVideoResult(msgspec.Struct, frozen=True, kw_only=True):
    videoUrl: str


class SunoVideoRecord(SunoTrackRecord, frozen=True, kw_only=True):
    """``data`` of the MP4 record-info. Times are texts: YYYY-MM-DD HH:MM:SS, in UTC."""

    response: SunoVideoResult | None
    successFlag: VideoStatus
    completeTime: str | None
    createTime: str


class SunoPart(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a separation."""

    duration: float | None
    audio_url: str
    stem_type_group_name: str
    id: str | None


class SunoStem(SunoPart, frozen=True, kw_only=True):
    """``extract`` and ``remove`` are there where one instrument was pulled out: it, and all but it."""

    extract: SunoPart | Unset = msgspec.UNSET
    remove: SunoPart | Unset = msgspec.UNSET


class SunoStemsResult(msgspec.Struct, frozen=True, kw_only=True):
    """The stems by name; those that there are not are null."""

    id: None = None
    originUrl: str | None
    originData: list[SunoStem]
    instrumentalUrl: str | None = None
    vocalUrl: str | None = None
    backingVocalsUrl: str | None = None
    drumsUrl: str | None = None
    bassUrl: str | None = None
    guitarUrl: str | None = None
    pianoUrl: str | None = None
    keyboardUrl: str | None = None
    percussionUrl: str | None = None
    stringsUrl: str | None = None
    synthUrl: str | None = None
    fxUrl: str | None = None
    brassUrl: str | None = None
    woodwindsUrl: str | None = None


class SunoStemsRecord(SunoTrackRecord, frozen=True, kw_only=True):
    """``data`` of the vocal-removal record-info. Times are milliseconds since 1970."""

    response: SunoStemsResult | None
    successFlag: StemsStatus
    completeTime: int | None
    createTime: int


class SunoMidiData(msgspec.Struct, frozen=True, kw_only=True):
    """``instruments`` are ``{name, notes: [{pitch, start, end, velocity}]}``; times in seconds, velocity 0..1."""

    state: str = "complete"
    instruments: list[Any]


class SunoMidiRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` of the MIDI record-info. ``successFlag``: 0 waiting, 1 done, 2 could not start, 3 failed."""

    taskId: str
    recordTaskId: int = -1
    audioId: str | None
    callbackUrl: str | None
    completeTime: int | None
    midiData: SunoMidiData | None
    successFlag: Literal[0, 1, 2, 3]
    createTime: int
    errorCode: int | None
    errorMessage: str | None


class SunoImages(msgspec.Struct, frozen=True, kw_only=True):
    images: list[str]


class SunoCoverRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` of the cover record-info: 0 waiting, 1 done, 2 rendering, 3 failed. Times are ISO 8601 texts."""

    taskId: str
    parentTaskId: str | None
    callbackUrl: str | None
    completeTime: str | None
    response: SunoImages | None
    successFlag: Literal[0, 1, 2, 3]
    createTime: str
    errorCode: int | None
    errorMessage: str | None


# ---- words ----


class SunoLyrics(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/lyrics``."""

    prompt: str
    callBackUrl: str | None = None


class SunoStyle(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/style/generate``."""

    content: str


class SunoVariant(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    title: str
    status: Literal["complete", "failed"] = "complete"
    errorMessage: str = ""


class SunoToldVariant(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    title: str
    status: Literal["complete", "failed"] = "complete"
    error_message: str = ""


class SunoLyricsResult(msgspec.Struct, frozen=True, kw_only=True):
    taskId: str
    data: list[SunoVariant]


class SunoLyricsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` of the lyrics record-info."""

    taskId: str
    param: str
    response: SunoLyricsResult | None
    status: LyricsStatus
    type: str = "LYRICS"
    errorCode: int | None
    errorMessage: str | None


class SunoStyleText(msgspec.Struct, frozen=True, kw_only=True):
    """Both names of the reason: one is recorded, the other documented. ``successFlag`` is the recorded word."""

    taskId: str
    param: str
    result: str
    creditsConsumed: float
    creditsRemaining: float
    successFlag: str = "成功"
    errorCode: int | None = None
    errorMsg: str | None = None
    errorMessage: str | None = None
    createTime: int


# ---- voices ----


class SunoVoiceValidate(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/voice/validate``; the span is in whole seconds."""

    voiceUrl: str
    vocalStartS: int
    vocalEndS: int
    language: Language | None = None
    callBackUrl: str | None = None


class SunoVoiceRegenerate(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/voice/regenerate``. The odd spelling is the documented one."""

    taskId: str
    calBackUrl: str | None = None
    callBackUrl: str | None = None


class SunoVoiceGenerate(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/voice/generate``."""

    taskId: str
    verifyUrl: str
    voiceName: str | None = None
    description: str | None = None
    style: str | None = None
    singerSkillLevel: Skill | None = None
    callBackUrl: str | None = None


class SunoVoiceCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/voice/check-voice``, in either spelling."""

    task_id: str | None = None
    taskId: str | None = None


class SunoVoiceState(msgspec.Struct, frozen=True, kw_only=True):
    taskId: str
    status: VoiceStatus
    errorCode: int | None
    errorMessage: str | None


class SunoPhrase(SunoVoiceState, frozen=True, kw_only=True):
    """``validateInfo`` is the phrase to sing, empty until it is there."""

    validateInfo: str


class SunoVoice(SunoVoiceState, frozen=True, kw_only=True):
    """``voiceId`` is empty until the voice is there."""

    voiceId: str


class SunoVoiceReady(msgspec.Struct, frozen=True, kw_only=True):
    isAvailable: bool


# ---- recovery ----


class SunoRecovery(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/suno/recovery``, in every spelling that is sent."""

    sunoTaskId: str | None = None
    task_id: str | None = None
    callBackUrl: str | None = None
    call_back_url: str | None = None


class SunoRecoveryCreated(msgspec.Struct, frozen=True, kw_only=True):
    task_id: str


class SunoRecovered(msgspec.Struct, frozen=True, kw_only=True):
    """A track of the old task; ``error`` says why it was not to be had."""

    id: str
    audio_url: str
    title: str
    status: Literal["success", "failed"]
    error: str


class SunoRecoveryRecord(Envelope, frozen=True, kw_only=True):
    """The whole answer: its ``code`` is the state. 201 is running, 200 done, 500 nothing recovered."""

    task_id: str | None
