import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audio.compressed import LONGEST_OPENING, AudioProperties, id3_length, mp3_header
from shared.audio.formats import Limits
from shared.audio.validator import MOST_TAGS, UploadValidator
from shared.errors import Permanent
from tests.support.examples import chunk, cut, fmt, riff, wav_file
from tests.support.sounds import rf64

AUDIO = Path(__file__).parent.parent / "data" / "audio"
TEN_SECONDS = Limits(max_seconds=10.0)
MP3_FRAME = bytes.fromhex("fffb9064") + bytes(413)
MP3 = 3 * MP3_FRAME
FILES = {
    "call.flac": AudioProperties("flac", 2, 8_000, 1.5),
    "call.mp3": AudioProperties("mp3", 2, 44_100),
    "mono-8k.mp3": AudioProperties("mp3", 1, 8_000),
    "call.opus": AudioProperties("ogg", 2, 48_000),
    "call.ogg": AudioProperties("ogg", 2, 32_000),
    "call.m4a": AudioProperties("m4a"),
    "call-faststart.m4a": AudioProperties("m4a"),
    "call-alac.m4a": AudioProperties("m4a"),
    "video.mp4": AudioProperties("m4a"),
    "wav49.wav": AudioProperties("wav49", 1, 8_000, 2.52),
    "sox-streamed-alaw.wav": AudioProperties("wav", 2, 8_000, 1.25),
    "ffmpeg-streamed-mulaw.wav": AudioProperties("wav", 2, 8_000, 1.25),
    "rf64-alaw.wav": AudioProperties("rf64", 2, 8_000, 1.25),
    "bext-u8.wav": AudioProperties("wav", 2, 8_000, 1.25),
    "sox-24bit.wav": AudioProperties("wav", 2, 8_000, 1.0),
}
places = st.lists(st.integers(0, 1 << 16), max_size=12)


def validated(*pieces: bytes, limits: Limits = TEN_SECONDS) -> AudioProperties:
    validator = UploadValidator(limits)
    for piece in pieces:
        validator.feed(piece)
    return validator.finish()


def refusal(*pieces: bytes, limits: Limits = TEN_SECONDS) -> tuple[str, str]:
    with pytest.raises(Permanent) as refused:
        validated(*pieces, limits=limits)
    return refused.value.code, str(refused.value)


def id3(size: int, content: bytes | None = None) -> bytes:
    """An ID3v2.4 tag of this many bytes, of which there are as many as given."""
    synchsafe = bytes(size >> 7 * place & 0x7F for place in (3, 2, 1, 0))
    return b"ID3\4\0\0" + synchsafe + (bytes(size) if content is None else content)


def flac(rate: int = 16_000, channels: int = 2, frames: int = 32_000, size: int = 34) -> bytes:
    packed = rate << 44 | channels - 1 << 41 | 15 << 36 | frames
    info = bytes(10) + packed.to_bytes(8, "big") + bytes(16)
    return b"fLaC\0" + size.to_bytes(3, "big") + info


def ogg(packet: bytes, flags: int = 2) -> bytes:
    return b"OggS\0" + bytes([flags]) + bytes(20) + b"\1" + bytes([len(packet)]) + packet


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_each_kind_is_told_by_its_bytes(name: str) -> None:
    file = (AUDIO / name).read_bytes()
    assert validated(file) == FILES[name]


def test_every_file_of_the_folder_is_known_here() -> None:
    others = {"README.md", "make.sh"}
    assert {path.name for path in AUDIO.iterdir()} == FILES.keys() | others


@given(st.sampled_from(sorted(FILES)), places)
def test_files_are_told_wherever_they_are_cut(name: str, at: list[int]) -> None:
    file = (AUDIO / name).read_bytes()
    assert validated(*cut(file, at)) == FILES[name]


@given(
    st.sampled_from(
        [b"", b"fLaC", b"OggS\0\2", b"ID3\4\0\0", b"RIFF", MP3_FRAME[:4], b"\0\0\0\x20ftyp"]
    ),
    st.binary(max_size=600),
    places,
)
def test_any_bytes_are_accepted_or_refused_with_a_code_of_ours(
    start: bytes, junk: bytes, at: list[int]
) -> None:
    try:
        facts = validated(*cut(start + junk, at))
    except Permanent as refused:
        codes = {"invalid_file_type", "invalid_audio", "audio_constraints"}
        assert refused.code in codes  # noqa: PT017
    else:
        assert facts.container


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (b"", "is empty"),
        (b"hello", "b'hello'"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n", "#EXTM3U"),
        (b"ffconcat version 1.0\nfile 'http://host/x.wav'\n", "ffconcat"),
        (b"[playlist]\nFile1=http://host/", "[playlist]"),
        (b"<?xml version='1.0'?><MPD></MPD>", "<?xml"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"\xff\xf1\x50\x80" + bytes(900), "xff"),
        (b"\x00\x00\x00\x20ftypheic" + bytes(20), "heic"),
        (b"\x00\x00\x00\x08ftypM4A " + bytes(20), "ftyp"),
        (b"text ftypM4A " + bytes(20), "text"),
        (ogg(b"Speex   1.2" + bytes(20)), "Speex"),
        (ogg(b"\x80theora" + bytes(20)), "theora"),
        (ogg(b"OpusHead\1\2" + bytes(10), flags=0), "Opus"),
        (flac(size=35), "fLaC"),
        (id3(20) + b"It was a dark and stormy night.", "It was"),
        (id3(20) + wav_file(), "RIFF"),
        (b"ID3\4\0\0\xff\xff\xff\xff" + MP3, "ID3"),
        (MP3_FRAME + b"no frame here", "fffb9064"),
        (MP3_FRAME[:4] + b" these bytes merely begin like an MP3" * 30, "fffb9064"),
        (MP3_FRAME + bytes.fromhex("fff39064") + bytes(400), "fffb9064"),
        (MP3_FRAME[:200], "xff"),
    ],
)
def test_what_is_none_of_these_files_is_named_by_its_first_bytes(file: bytes, found: str) -> None:
    code, message = refusal(file)
    assert code == "invalid_file_type"
    assert "allowed: " in message or "does not go on" in message
    assert found in message


@pytest.mark.parametrize("file", [flac()[:30], ogg(b"OpusHead\1\2" + bytes(10))[:40], riff(fmt())])
def test_a_file_that_ends_before_its_audio_is_broken(file: bytes) -> None:
    code, message = refusal(file)
    assert (code, "ended before its" in message) == ("invalid_audio", True)


@pytest.mark.parametrize("start", [b"", id3(0), id3(2000), id3(7) + id3(300), id3(5) + bytes(999)])
def test_mp3_and_flac_may_have_tags_before_them(start: bytes) -> None:
    assert validated(start + MP3).container == "mp3"
    assert validated(start + flac()).container == "flac"


def test_endless_tags_are_refused() -> None:
    assert validated(id3(3) * MOST_TAGS + MP3).container == "mp3"
    assert refusal(id3(0) * 100_000)[0] == "invalid_file_type"


def test_a_tag_with_a_footer_is_skipped_with_it() -> None:
    assert id3_length(b"ID3\4\0\x10\0\0\1\1") == 10 + 129 + 10


def test_a_long_tag_is_skipped_in_little_memory() -> None:
    validator = UploadValidator(TEN_SECONDS)
    validator.feed(id3(50 << 20, b""))
    for _ in range(50):
        validator.feed(bytes(1 << 20))
        assert len(validator._start) < LONGEST_OPENING  # noqa: SLF001 - what it keeps is the point
    validator.feed(MP3)
    assert validator.finish().container == "mp3"


@pytest.mark.parametrize("bits", ["fffb90", "fff390", "ffe390", "fffb50"])
def test_the_length_of_an_mp3_frame_follows_its_header(bits: str) -> None:
    known = {"fffb90": 417, "fff390": 261, "ffe390": 522, "fffb50": 208}
    header = mp3_header(bytes.fromhex(bits + "c0"))
    assert header is not None
    assert (header.length, header.channels) == (known[bits], 1)


@pytest.mark.parametrize(
    "bits", ["ffeb9000", "fffd9000", "fffbf000", "fffb0000", "fffb9c00", "fffb9002"]
)
def test_reserved_values_make_no_mp3_header(bits: str) -> None:
    assert mp3_header(bytes.fromhex(bits)) is None


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (flac(rate=7_000), "7000 Hz"),
        (flac(rate=96_000), "96000 Hz"),
        (flac(channels=6), "6 channels"),
        (flac(frames=16_000 * 7_200), "7200 s"),
        (flac(frames=100), "0.006 s"),
        (ogg(b"OpusHead\1\6" + bytes(10)), "6 channels"),
        (ogg(b"\x01vorbis" + struct.pack("<IBI", 0, 2, 96_000)), "96000 Hz"),
        (wav_file(channels=3), "3 channels"),
        (wav_file(rate=1), "1 Hz"),
        (wav_file(rate=4_000), "4000 Hz"),
        (wav_file(bytes(31_980)), "0.999 s"),
        (riff(fmt(), chunk(b"data", bytes(31_980), 64_000)), "0.999 s"),
    ],
)
def test_what_a_file_says_of_itself_is_held_to_the_limits(file: bytes, found: str) -> None:
    code, message = refusal(file)
    assert (code, found in message) == ("audio_constraints", True)


@pytest.mark.parametrize(
    "file",
    [
        wav_file(channels=0),
        wav_file(rate=0),
        flac(rate=0),
        ogg(b"OpusHead\1\0" + bytes(10)),
        ogg(b"\x01vorbis" + struct.pack("<IBI", 0, 2, 0)),
    ],
)
def test_no_channels_or_no_rate_is_broken(file: bytes) -> None:
    code, message = refusal(file)
    assert (code, "The header says" in message) == ("invalid_audio", True)


def test_two_mono_files_can_be_demanded() -> None:
    mono = Limits(channels=(1,))
    assert validated(wav_file(channels=1), limits=mono).channels == 1
    assert "2 channels; allowed: 1." in refusal(wav_file(), limits=mono)[1]
    assert "2 channels; allowed: 1." in refusal(flac(), limits=mono)[1]


@pytest.mark.parametrize(
    ("file", "seconds"),
    [
        (wav_file(), 2.0),
        (wav_file()[:-16_000], 1.5),
        (riff(fmt(), chunk(b"data", bytes(64_000), 0)), 2.0),
        (riff(fmt(), chunk(b"data", bytes(64_000), 0x7FFFF000)), 2.0),
        (riff(fmt(), chunk(b"data", bytes(64_000), 0xFFFFFFFF)), 2.0),
        (riff(fmt(), chunk(b"data", bytes(64_000), 1_000)), 2.0),
        (riff(fmt(), chunk(b"data", bytes(64_000), 3_000_000)), 2.0),
        (riff(fmt(), chunk(b"data", bytes(64_000)), chunk(b"LIST", bytes(9_000))), 2.0),
        (rf64(bytes(64_000)), 2.0),
        (rf64(bytes(64_000), size=0), 2.0),
    ],
)
@pytest.mark.parametrize("piece", [1_000, 1 << 20])
def test_a_wav_lasts_as_long_as_what_is_there(file: bytes, seconds: float, piece: int) -> None:
    pieces = (file[at : at + piece] for at in range(0, len(file), piece))
    assert validated(*pieces).duration == seconds


def test_a_recording_is_refused_as_soon_as_it_is_too_long() -> None:
    validator = UploadValidator(TEN_SECONDS)
    validator.feed(riff(fmt(), chunk(b"data", b"", 40 * 60 * 32_000)))
    validator.feed(bytes(320_000))
    with pytest.raises(Permanent, match="lasts 2400 s; allowed: 1 to 10 s"):
        validator.feed(bytes(4))


def test_a_streamed_recording_that_is_too_long_has_no_length_to_tell() -> None:
    validator = UploadValidator(TEN_SECONDS)
    validator.feed(riff(fmt(), chunk(b"data", b"", 0)))
    with pytest.raises(Permanent, match="lasts more than 10 s; allowed: 1 to 10 s"):
        validator.feed(bytes(320_004))


def test_what_is_known_is_told_before_the_end() -> None:
    validator = UploadValidator(TEN_SECONDS)
    validator.feed(wav_file()[:20])
    assert (validator.properties, validator.header) == (None, None)
    validator.feed(wav_file()[20:44])
    assert validator.properties == AudioProperties("wav", 2, 8_000, None)
    assert validator.header is not None
