import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from shared.audio.formats import ENCODINGS, AudioFormat
from shared.audio.pcm import pcm16_header
from shared.audio.wav import (
    LONGEST_HEADER,
    LONGEST_READ_CHUNK,
    MOST_HEADER_CHUNKS,
    Extent,
    Header,
    HeaderReader,
)
from shared.errors import Permanent
from tests.support.examples import chunk, cut, fmt, riff, wav_file
from tests.support.sounds import rf64

PCM16 = ENCODINGS[1, 16]
STEREO = AudioFormat(PCM16, channels=2, sample_rate=8_000)
PCM_GUID = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
STREAMED = [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0x7FFFFFFF - 36, 0xFFFFFFFF, 0xFFFFFFFF - 36]
places = st.lists(st.integers(0, 1 << 16), max_size=20)
skipped = st.lists(
    st.builds(chunk, st.sampled_from([b"LIST", b"JUNK", b"bext"]), st.binary(max_size=99)),
    max_size=4,
)


def read(*pieces: bytes) -> Header:
    """The header of a file that comes in these pieces. Raise what the reader raises."""
    reader = HeaderReader()
    for piece in pieces:
        if (header := reader.feed(piece)) is not None:
            return header
    raise reader.end()


def refusal(*pieces: bytes) -> tuple[str, str]:
    """Code and message of the error for a file that comes in these pieces."""
    with pytest.raises(Permanent) as refused:
        read(*pieces)
    return refused.value.code, str(refused.value)


def extensible(tag_and_guid: bytes) -> bytes:
    plain = struct.pack("<HHIIHH", 0xFFFE, 2, 8_000, 32_000, 4, 16)
    return chunk(b"fmt ", plain + struct.pack("<HHI", 22, 16, 3) + tag_and_guid)


def test_a_plain_header_tells_format_start_and_size() -> None:
    assert read(wav_file(bytes(400))) == Header(STEREO, data_start=44, declared_bytes=400)


@given(places, skipped)
def test_any_split_of_the_bytes_gives_the_same_header(at: list[int], others: list[bytes]) -> None:
    file = riff(*others, fmt(), *others, chunk(b"data", bytes(8)))
    start = len(file) - 8
    assert read(*cut(file, at)) == Header(STEREO, data_start=start, declared_bytes=8)


@given(st.binary(max_size=300), places)
def test_any_bytes_give_a_header_or_an_error_of_ours(junk: bytes, at: list[int]) -> None:
    for file in (junk, riff(junk), riff(fmt(), junk)):
        try:
            header = read(*cut(file, at))
        except Permanent as refused:
            assert refused.code in {"invalid_file_type", "invalid_audio"}  # noqa: PT017
        else:
            assert header.data_start <= len(file)


@pytest.mark.parametrize("name", [b"LIST", b"JUNK"])
@pytest.mark.parametrize("length", [0, 1, 26, 27])
def test_chunks_before_the_samples_are_skipped_with_their_padding(name: bytes, length: int) -> None:
    file = riff(chunk(name, b"x" * length), fmt(), chunk(name, b"y" * length), chunk(b"data", b""))
    assert read(file) == Header(STEREO, data_start=len(file), declared_bytes=None)


def test_an_odd_format_chunk_is_padded_too() -> None:
    odd = chunk(b"fmt ", fmt()[8:] + b"\0")
    assert read(riff(odd, chunk(b"data", b"abcd"))).audio == STEREO


def test_an_extensible_header_is_read_by_its_sub_format() -> None:
    assert read(riff(extensible(PCM_GUID), chunk(b"data", b""))).audio == STEREO


def test_an_extensible_header_of_floats_is_unsupported() -> None:
    code, message = refusal(riff(extensible(b"\3" + PCM_GUID[1:]), chunk(b"data", b"")))
    assert (code, "0x0003 with 16 bits" in message) == ("invalid_audio", True)


def test_an_extensible_header_of_an_unknown_sub_format_is_unsupported() -> None:
    code, message = refusal(riff(extensible(PCM_GUID[:-1] + b"x"), chunk(b"data", b"")))
    assert (code, "not known" in message) == ("invalid_audio", True)


def test_fewer_valid_bits_than_stored_ones_change_nothing() -> None:
    plain = struct.pack("<HHIIHH", 0xFFFE, 2, 8_000, 64_000, 8, 32)
    header = chunk(b"fmt ", plain + struct.pack("<HHI", 22, 24, 3) + PCM_GUID)
    assert read(riff(header, chunk(b"data", b""))).audio.encoding == ENCODINGS[1, 32]


def test_an_extensible_header_without_its_sub_format_is_broken() -> None:
    cut_short = chunk(b"fmt ", fmt(tag=0xFFFE)[8:])
    assert refusal(riff(cut_short, chunk(b"data", b"")))[0] == "invalid_audio"


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (b"", "is empty"),
        (b"RIFF", "b'RIFF'"),
        (b"It was a dark and stormy night.", "b'It was a dar'"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"RIFX\0\0\0\0WAVEfmt ", "RIFX"),
        (b"ID3\4\0\0\0\0\0\0\0\0", "ID3"),
    ],
)
def test_what_is_no_wav_is_named_by_its_first_bytes(file: bytes, found: str) -> None:
    code, message = refusal(file)
    assert code == "invalid_file_type"
    assert found in message
    assert "allowed: a RIFF/WAVE file" in message


@pytest.mark.parametrize(
    ("file", "missing"),
    [
        (riff(), "no fmt chunk"),
        (riff(b"fm"), "no fmt chunk"),
        (riff(fmt()[:20]), "no fmt chunk"),
        (riff(fmt()), "no data chunk"),
        (riff(fmt(), b"data\0\0"), "no data chunk"),
        (riff(fmt(), chunk(b"LIST", b"x", size=1000)), "no data chunk"),
    ],
)
def test_a_file_that_ends_too_early_is_told_what_is_missing(file: bytes, missing: str) -> None:
    code, message = refusal(file)
    assert (code, missing in message) == ("invalid_audio", True)


@pytest.mark.parametrize("size", [0, 14, 15, LONGEST_READ_CHUNK + 1, 0xFFFFFFFF])
def test_an_impossible_format_chunk_is_refused_at_once(size: int) -> None:
    code, message = refusal(riff(chunk(b"fmt ", b"", size=size)))
    assert code == "invalid_audio"
    assert f"has {size} bytes; allowed: 16 to 65536" in message


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (fmt(rate=0), "2 channels at 0 Hz"),
        (fmt(channels=0), "0 channels at 8000 Hz"),
        (fmt(bits=12), "0x0001 with 12 bits"),
        (fmt(bits=64), "0x0001 with 64 bits"),
        (fmt(bits=16, tag=3), "0x0003 with 16 bits"),
        (fmt(bits=16, tag=6), "0x0006 with 16 bits"),
        (fmt(bits=0, tag=0x31), "GSM with 2 channels"),
        (fmt(bits=4, tag=17), "0x0011 with 4 bits"),
    ],
)
def test_a_format_that_cannot_be_read_is_named(header: bytes, found: str) -> None:
    code, message = refusal(riff(header, chunk(b"data", b"")))
    assert (code, found in message) == ("invalid_audio", True)


def test_samples_before_the_format_are_refused() -> None:
    code, message = refusal(riff(chunk(b"data", b"abcd"), fmt()))
    assert (code, "samples before its format" in message) == ("invalid_audio", True)


def test_64_kib_before_the_samples_are_read_and_one_more_is_refused_at_once() -> None:
    room = LONGEST_HEADER - len(riff(fmt())) - 8
    assert read(riff(fmt(), chunk(b"JUNK", bytes(room)), chunk(b"data", b"abcd"))).audio == STEREO
    code, message = refusal(riff(fmt(), chunk(b"JUNK", b"", size=room + 1)))
    assert code == "invalid_audio"
    assert f"b'JUNK' chunk ends at byte {LONGEST_HEADER + 1}; allowed" in message
    assert f"{LONGEST_HEADER} bytes" in message


def test_1024_chunks_before_the_samples_are_read_and_one_more_is_refused() -> None:
    empty = [chunk(b"JUNK", b"")] * (MOST_HEADER_CHUNKS - 1)
    assert read(riff(fmt(), *empty, chunk(b"data", b"abcd"))).audio == STEREO
    code, message = refusal(riff(fmt(), *empty, chunk(b"JUNK", b""), chunk(b"data", b"abcd")))
    assert code == "invalid_audio"
    assert "more than 1024 chunks before its samples; allowed: 1024" in message


@pytest.mark.parametrize(("file_bytes", "present"), [(44, 0), (43, 0), (45, 1), (444, 400)])
def test_only_bytes_that_are_there_count(file_bytes: int, present: int) -> None:
    assert read(wav_file(bytes(400))).available_bytes(file_bytes) == present


def test_bytes_after_the_samples_do_not_count() -> None:
    assert read(wav_file(bytes(400))).available_bytes(1000) == 400


@pytest.mark.parametrize("size", STREAMED)
def test_a_size_written_before_the_end_was_known_means_all_that_is_there(size: int) -> None:
    header = read(riff(fmt(), chunk(b"data", bytes(400), size)))
    assert header.declared_bytes is None
    assert header.extent(10_044, b"") == Extent(10_000)


@pytest.mark.parametrize("size", [1, 400, 0x7FFFEFFF, 0x80000001, 0xFFFFEFFF])
def test_any_other_size_is_believed_as_far_as_bytes_are_there(size: int) -> None:
    assert read(riff(fmt(), chunk(b"data", bytes(400), size))).declared_bytes == size


@pytest.mark.parametrize("signature", [b"RF64", b"BW64"])
@pytest.mark.parametrize("others", [(), (chunk(b"JUNK", b"x" * 27), chunk(b"bext", bytes(602)))])
def test_an_rf64_file_tells_its_size_in_ds64(signature: bytes, others: tuple[bytes, ...]) -> None:
    header = read(rf64(bytes(400), *others, signature=signature))
    assert (header.container, header.declared_bytes) == (signature.decode().lower(), 400)


def test_an_rf64_file_may_be_longer_than_32_bits_can_tell() -> None:
    assert read(rf64(bytes(400), size=5 << 30)).declared_bytes == 5 << 30


@pytest.mark.parametrize("size", [0, 2**64 - 1])
def test_an_rf64_file_whose_size_was_never_written_is_streamed(size: int) -> None:
    assert read(rf64(bytes(400), size=size)).declared_bytes is None


def test_an_rf64_file_without_ds64_is_streamed() -> None:
    file = riff(fmt(), chunk(b"data", bytes(400), 0xFFFFFFFF)).replace(b"RIFF", b"RF64")
    assert read(file).declared_bytes is None


def test_other_chunks_of_an_rf64_file_may_be_long_too() -> None:
    table = struct.pack("<QQQI", 0, 8, 2, 1) + struct.pack("<4sQ", b"big ", 300)
    file = riff(
        chunk(b"ds64", table),
        chunk(b"big ", bytes(300), 0xFFFFFFFF),
        fmt(),
        chunk(b"data", bytes(8)),
    )
    assert read(file.replace(b"RIFF", b"RF64")).data_start == len(file) - 8


def test_what_soundfile_writes_as_rf64_is_read() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((500, 2)), 8_000, format="RF64", subtype="PCM_16")
    header = read(file.getvalue())
    assert (header.audio, header.container) == (STEREO, "rf64")
    assert header.available_bytes(len(file.getvalue())) == 2_000


@pytest.mark.parametrize("name", [b"LIST", b"bext", b"JUNK"])
def test_a_writer_that_forgets_the_padding_is_understood(name: bytes) -> None:
    odd = struct.pack("<4sI", name, 3) + b"abc"
    for file in (
        riff(odd, fmt(), chunk(b"data", b"abcd")),
        riff(fmt(), odd, chunk(b"data", b"ab")),
    ):
        assert read(file).audio == STEREO


def extent(file: bytes) -> tuple[int, str | None]:
    """How many bytes of samples are in the file, and the warning."""
    header = read(file)
    trailer = b"" if header.declared_end is None else file[header.declared_end :][:9]
    found = header.extent(len(file), trailer)
    return found.size, found.warning.code if found.warning else None


LIST = chunk(b"LIST", b"INFOabcd")
WITHOUT_DS64 = riff(fmt(), chunk(b"data", bytes(400), 0xFFFFFFFF)).replace(b"RIFF", b"RF64")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (wav_file(bytes(400)), (400, None)),
        (wav_file(bytes(400))[:-100], (300, "truncated")),
        (wav_file(bytes(400))[:44], (0, "truncated")),
        (riff(fmt(), chunk(b"data", bytes(400)), LIST), (400, None)),
        (riff(fmt(), chunk(b"data", bytes(401)), LIST), (401, None)),
        (riff(fmt(), chunk(b"data", bytes(401))[:-1], LIST), (401, None)),
        (riff(fmt(), chunk(b"data", bytes(400)), LIST[:-3]), (400, None)),
        (riff(fmt(), chunk(b"data", bytes(400)), chunk(b"abcd", b"x")), (400, None)),
        (riff(fmt(), chunk(b"data", bytes(400)), b"rest"), (400, None)),
        (riff(fmt(), chunk(b"data", bytes(400), 100)), (400, "size_lies")),
        (riff(fmt(), chunk(b"data", bytes(400), 101)), (400, "size_lies")),
        (riff(fmt(), chunk(b"data", bytes(400), 0)), (400, None)),
        (rf64(bytes(400)), (400, None)),
        (rf64(bytes(400), size=0), (400, "size_missing")),
        (WITHOUT_DS64, (400, "size_missing")),
    ],
)
def test_what_is_there_counts_whatever_the_size_says(
    file: bytes, expected: tuple[int, str | None]
) -> None:
    assert extent(file) == expected


def test_a_lie_is_told_with_both_numbers() -> None:
    header = read(wav_file(bytes(400)))
    warning = header.extent(344, b"").warning
    assert warning is not None
    assert "400 bytes of samples and 300 are there" in warning.message


@given(st.integers(1, 0x3FFFF7FF), st.integers(1, 192_000))
def test_a_written_header_is_read_again(frames: int, rate: int) -> None:
    mono = AudioFormat(PCM16, channels=1, sample_rate=rate)
    assert read(pcm16_header(frames, rate)) == Header(mono, 44, 2 * frames)


@pytest.mark.parametrize("frames", [0, 1 << 30, 1 << 31, 1 << 40])
def test_a_header_whose_size_cannot_be_told_is_read_as_streamed(frames: int) -> None:
    header = read(pcm16_header(frames, 16_000))
    assert header.declared_bytes is None
    assert header.available_bytes(44 + 2 * frames) == 2 * frames


def test_other_programs_read_a_written_header() -> None:
    samples = struct.pack("<4h", 0, 1000, -1000, 32767)
    heard, rate = soundfile.read(io.BytesIO(pcm16_header(4, 16_000) + samples), dtype="int16")
    assert (rate, heard.tolist()) == (16_000, [0, 1000, -1000, 32767])
