import asyncio
import hashlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ingest.upload.body import FORM_OVERHEAD, check_length, reader_of
from functions.ingest.upload.multipart import MOST_PARTS
from functions.ingest.upload.upload import LONGEST_FIELD, LONGEST_FIELDS, Upload
from shared.audio.formats import Limits
from shared.errors import Permanent
from tests.support.examples import MULTIPART, chunk, cut, fmt, form, part, riff, stream, wav_file

CALL = wav_file()
MONO = wav_file(bytes(32_000), channels=1)
LONG_SIDE = wav_file(bytes(2 << 20), channels=1, rate=48_000)
"""Two of them are longer than one and what a form may have besides."""
LIMITS = Limits(max_seconds=10.0)


async def collect(upload: Upload, body: Iterable[bytes]) -> dict[str, bytes]:
    return {
        file.field: b"".join([chunk async for chunk in file.chunks()])
        async for file in upload.files(stream(body))
    }


def files_of(
    *body: bytes, content_type: str = MULTIPART, max_bytes: int = 1 << 20, limits: Limits = LIMITS
) -> tuple[Upload, dict[str, bytes]]:
    """The upload after the body has come, and its files' bytes by field."""
    upload = Upload(reader_of(content_type), limits, max_bytes)
    return upload, asyncio.run(collect(upload, body))


def taken(*body: bytes, max_bytes: int = 1 << 20) -> tuple[Upload, bytes]:
    """The upload after the body has come, and the bytes of its one file."""
    upload, files = files_of(*body, max_bytes=max_bytes)
    [audio] = files.values()
    return upload, audio


def refusal(body: bytes, max_bytes: int = 1 << 20) -> tuple[str, str]:
    with pytest.raises(Permanent) as refused:
        taken(body, max_bytes=max_bytes)
    return refused.value.code, str(refused.value)


def only(file: bytes) -> bytes:
    """A form with nothing but this file."""
    return form(part("audio", file, "call.wav"))


@pytest.mark.parametrize("field", ["audio", "file"])
def test_a_recording_in_either_field_is_taken_and_described(field: str) -> None:
    upload, audio = taken(form(part(field, CALL, "call.wav")))
    assert audio == CALL
    assert upload.audio.file_name == "call.wav"
    assert upload.audio.size == len(CALL)
    assert upload.audio.sha256 == hashlib.sha256(CALL).hexdigest()
    assert (upload.audio.channels, upload.audio.sample_rate) == (2, 8_000)
    assert (upload.audio.container, upload.audio.files) == ("wav", 1)
    assert upload.audio.duration == 2.0


@given(st.lists(st.integers(0, 1 << 20), max_size=20), st.binary(max_size=99))
def test_the_audio_comes_through_unchanged_wherever_the_body_is_cut(
    at: list[int], other: bytes
) -> None:
    body = form(part("note", other.replace(b"-", b"")), part("audio", CALL), part("last", b"x"))
    upload, audio = taken(*cut(body, at))
    assert audio == CALL
    assert upload.audio.sha256 == hashlib.sha256(CALL).hexdigest()


def test_other_fields_are_put_aside_in_their_order() -> None:
    upload, audio = taken(
        form(
            part("labels", b"a=1"),
            part("audio", CALL),
            part("labels", b"b=2"),
            part("external_id", "Käse".encode(), "sent as a file.txt"),
        )
    )
    assert audio == CALL
    assert upload.fields == {"labels": ["a=1", "b=2"], "external_id": ["Käse"]}


def test_two_mono_files_are_one_recording() -> None:
    longer = wav_file(bytes(48_000), channels=1)
    upload, files = files_of(form(part("left", MONO, "agent.wav"), part("right", longer)))
    assert files == {"left": MONO, "right": longer}
    assert (upload.audio.files, upload.audio.channels) == (2, 2)
    assert upload.audio.duration == 3.0
    assert upload.audio.file_name == "agent.wav"


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_side_alone_is_told_what_is_missing(side: str) -> None:
    code, message = refusal(form(part(side, MONO)))
    assert (code, f"`{side}` only" in message) == ("missing_file", True)


def test_a_side_must_be_mono() -> None:
    code, message = refusal(form(part("left", CALL), part("right", MONO)))
    assert (code, "2 channels; allowed: 1" in message) == ("audio_constraints", True)


@pytest.mark.parametrize("fields", [("left", "audio"), ("audio", "right"), ("left", "left")])
def test_sides_do_not_mix_with_a_whole_recording(fields: tuple[str, str]) -> None:
    files = (part(field, CALL if field == "audio" else MONO) for field in fields)
    assert refusal(form(*files))[0] == "invalid_request"


@given(st.lists(st.integers(0, 1 << 20), max_size=20))
def test_a_bare_body_is_a_recording_too(at: list[int]) -> None:
    upload, files = files_of(*cut(CALL, at), content_type="audio/wav")
    assert files == {"audio": CALL}
    assert upload.audio.duration == 2.0


def test_an_empty_bare_body_is_told_so() -> None:
    with pytest.raises(Permanent, match="empty"):
        files_of(content_type="audio/wav")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json"])
def test_another_content_type_is_told_what_is_allowed(content_type: str) -> None:
    with pytest.raises(Permanent, match="multipart/form-data") as refused:
        reader_of(content_type)
    assert refused.value.code == "missing_file"


def test_the_duration_is_of_the_samples_that_came() -> None:
    upload, _ = taken(only(CALL[: 44 + 48_000]))
    assert upload.audio.duration == 1.5


def test_chunks_behind_the_samples_are_not_counted_as_sound() -> None:
    upload, _ = taken(only(riff(fmt(), chunk(b"data", bytes(64_000)), chunk(b"LIST", b"abc"))))
    assert upload.audio.duration == 2.0


@pytest.mark.parametrize("body", [form(), form(part("note", b"x"), part("more", b"y"))])
def test_a_form_without_a_file_is_told_its_fields(body: bytes) -> None:
    code, message = refusal(body)
    assert code == "missing_file"
    assert ("more, note" in message) or ("none" in message)
    assert "`audio` or `file`" in message


@pytest.mark.parametrize("fields", [("audio", "file"), ("file", "audio"), ("audio", "audio")])
def test_two_recordings_in_one_form_are_refused(fields: tuple[str, str]) -> None:
    code, message = refusal(form(*(part(field, CALL) for field in fields)))
    assert code == "invalid_request"
    assert f"`{fields[0]}` and then `{fields[1]}`" in message


def test_an_empty_second_recording_is_refused_too() -> None:
    assert refusal(form(part("audio", CALL), part("file", b"")))[0] == "invalid_request"


@pytest.mark.parametrize(("file", "found"), [(b"", "empty"), (b"hello, world", "hello, world")])
def test_a_file_that_is_no_wav_is_named(file: bytes, found: str) -> None:
    code, message = refusal(only(file))
    assert (code, found in message) == ("invalid_file_type", True)


def test_a_broken_wav_is_invalid_audio() -> None:
    code, message = refusal(only(riff(fmt())))
    assert (code, "no data chunk" in message) == ("invalid_audio", True)


@pytest.mark.parametrize(
    ("file", "found", "allowed"),
    [
        (wav_file(channels=3), "3 channels", "allowed: 1 or 2"),
        (wav_file(rate=7_999), "7999 Hz", "8000 to 48000 Hz"),
        (wav_file(rate=48_001), "48001 Hz", "8000 to 48000 Hz"),
        (wav_file(bytes(31_980)), "0.999 s", "1 to 10 s"),
        (wav_file(bytes(320_040)), "10.001 s", "1 to 10 s"),
        (wav_file(b""), "0 s", "1 to 10 s"),
        (CALL[:1000], "0.03 s", "1 to 10 s"),
    ],
)
def test_audio_outside_the_limits_is_told_what_is_allowed(
    file: bytes, found: str, allowed: str
) -> None:
    code, message = refusal(only(file))
    assert code == "audio_constraints"
    assert found in message
    assert allowed in message


@pytest.mark.parametrize(
    "file",
    [
        wav_file(bytes(32_000)),
        wav_file(bytes(320_000)),
        wav_file(bytes(64_000), rate=8_000),
        wav_file(bytes(192_000), rate=48_000),
    ],
)
def test_both_ends_of_every_limit_are_allowed(file: bytes) -> None:
    assert taken(only(file))[1] == file


def test_a_recording_is_refused_by_its_header_before_the_rest_has_come() -> None:
    async def body() -> bytes:
        upload = Upload(reader_of(MULTIPART), LIMITS, 1 << 20)
        pieces = stream([only(wav_file(channels=3))[:400], b"never asked for"])
        file = await anext(upload.files(pieces))
        with pytest.raises(Permanent):
            [chunk async for chunk in file.chunks()]
        return await anext(pieces)

    assert asyncio.run(body()) == b"never asked for"


def test_the_largest_file_is_taken_and_one_byte_more_is_not() -> None:
    assert taken(only(CALL), max_bytes=len(CALL))[1] == CALL
    code, message = refusal(only(CALL), max_bytes=len(CALL) - 1)
    assert (code, f"{len(CALL) - 1} bytes allowed" in message) == ("file_too_large", True)


def test_a_long_field_is_refused() -> None:
    assert taken(form(part("a", b"x" * LONGEST_FIELD), part("audio", CALL)))[1] == CALL
    code, message = refusal(form(part("a", b"x" * (LONGEST_FIELD + 1)), part("audio", CALL)))
    assert (code, f"{LONGEST_FIELD} bytes allowed" in message) == ("invalid_request", True)


def test_a_file_in_another_field_is_passed_over_whatever_its_length() -> None:
    other = part("logo", b"x" * (LONGEST_FIELD + 1), "logo.png")
    assert taken(form(other, part("audio", CALL)))[1] == CALL
    assert "are: logo;" in refusal(form(other))[1]


@pytest.mark.parametrize("file_name", [None, "logo.png"])
def test_endless_fields_are_refused(file_name: str | None) -> None:
    many = [part(f"f{number}", b"", file_name) for number in range(MOST_PARTS + 1)]
    assert refusal(form(*many[:-1]))[0] == "missing_file"
    code, message = refusal(form(*many))
    assert (code, f"more than {MOST_PARTS} fields" in message) == ("invalid_request", True)


def test_fields_that_are_long_together_are_refused() -> None:
    many = (part(f"f{number}", bytes(LONGEST_FIELD)) for number in range(5))
    code, message = refusal(form(*many))
    assert (code, f"{LONGEST_FIELDS} bytes allowed" in message) == ("invalid_request", True)


@pytest.mark.parametrize(
    "body",
    [
        [b"\r\n" * 1_000_000],
        [part("junk", bytes(2_000_000), "junk.bin")],
        [part("audio", CALL), part("junk", bytes(2_000_000), "junk.bin")],
        [form(part("audio", CALL)), bytes(2_000_000)],
    ],
    ids=["preamble", "file nobody asked for", "the same after the recording", "epilogue"],
)
def test_the_whole_body_is_counted(body: list[bytes]) -> None:
    pieces = cut(b"".join(body), range(0, 4_000_000, 100_000))
    with pytest.raises(Permanent, match="allowed") as refused:
        taken(*pieces, max_bytes=len(CALL))
    assert refused.value.code == "file_too_large"
    assert str(len(CALL) + FORM_OVERHEAD) in str(refused.value)


def test_each_of_two_files_may_be_as_large_as_one() -> None:
    sides = form(part("left", LONG_SIDE), part("right", LONG_SIDE))
    pieces, room = cut(sides, range(0, 8_000_000, 100_000)), Limits()
    _, files = files_of(*pieces, max_bytes=len(LONG_SIDE), limits=room)
    assert files == {"left": LONG_SIDE, "right": LONG_SIDE}
    check_length(lengths(len(sides)), len(LONG_SIDE))


def test_a_length_that_is_told_is_held_to_what_may_be_in_the_body() -> None:
    allowed = 2 * 1_000 + FORM_OVERHEAD
    check_length(lengths(allowed), 1_000)
    check_length(lengths(1_000, "audio/wav"), 1_000)
    for length, content_type in ((allowed + 1, MULTIPART), (1_001, "audio/wav")):
        with pytest.raises(Permanent, match=str(length)):
            check_length(lengths(length, content_type), 1_000)


def lengths(length: int, content_type: str = MULTIPART) -> dict[str, str]:
    return {"content-length": str(length), "content-type": content_type}


def test_an_endless_content_type_is_refused() -> None:
    with pytest.raises(Permanent, match="65032 characters; allowed: 1000"):
        reader_of(MULTIPART.split(";")[0] + ";" * 65_013)


def test_a_body_that_is_cut_off_is_refused_even_after_all_samples() -> None:
    assert refusal(only(CALL)[:-20])[0] == "invalid_request"
