"""`ContainerDecoder` keeps the promises of `Decoder`, with real files of every kind."""

import asyncio
import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
import pytest
import soundfile

from events.documents import Levels
from functions.split.decoder import AudioSource, Decoder
from functions.split.decoder_av import Bounds, ContainerDecoder
from functions.split.handler import split
from shared.audio.formats import ENCODINGS, Limits
from shared.blobs import ObjectBlobs
from shared.errors import Permanent, PocWhispError, Transient, Unavailable
from tests.support.examples import received, stream
from tests.support.sounds import both, pitch, wav_of
from tests.support.stacks import ROOT
from tests.support.waiting import run

T = TypeVar("T")
AUDIO = Path(__file__).parent.parent / "data" / "audio"
CALL = received()
DECODER: Decoder = ContainerDecoder()
DAMAGED_AT = 0.7
"""Share of a file's bytes before its damage: behind the heads and the first page of an Ogg."""


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test leaves a process or a temporary file."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    assert not children()
    assert not list(tmp_path.glob("tmp*"))


def children() -> list[psutil.Process]:
    """The decoding processes of this one."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if any("decoder_child" in part for part in child.cmdline())]


def file(name: str) -> bytes:
    return (AUDIO / name).read_bytes()


def opened(
    content: bytes, container: str, limits: Limits | None = None, bounds: Bounds | None = None
) -> AbstractAsyncContextManager[AudioSource]:
    decoder: Decoder = ContainerDecoder(bounds)
    return decoder.decoded(stream([content]), container, limits or Limits())


async def described(content: bytes, container: str, limits: Limits | None = None) -> AudioSource:
    async with opened(content, container, limits) as sound:
        return sound


def refusal(content: bytes, container: str, limits: Limits | None = None) -> PocWhispError:
    with pytest.raises(PocWhispError) as refused:
        run(described(content, container, limits))
    return refused.value


def damaged(content: bytes, count: int = 100) -> bytes:
    """The file with some bytes in its middle overwritten."""
    at = int(len(content) * DAMAGED_AT)
    return content[:at] + b"\x5a" * count + content[at + count :]


def flac_of(seconds: float, rate: int = 8_000) -> bytes:
    """A long silence that is a small file, and does not tell how long it is."""
    content = io.BytesIO()
    samples = np.zeros((int(seconds * rate), 2), np.int16)
    soundfile.write(content, samples, rate, format="FLAC", subtype="PCM_16")
    found = bytearray(content.getvalue())
    found[21] &= 0xF0
    found[22:26] = bytes(4)
    return bytes(found)


async def whole(blobs: ObjectBlobs, channel: str) -> np.ndarray[Any, np.dtype[np.int16]]:
    content = b"".join([piece async for piece in blobs.read(CALL.run_key.audio(channel))])
    samples, _ = soundfile.read(io.BytesIO(content), dtype="int16")
    return np.asarray(samples, np.int16)


async def split_up(folder: Path, content: bytes) -> tuple[ObjectBlobs, Levels]:
    blobs = ObjectBlobs.open(folder.as_uri())
    await blobs.put(CALL.audio, stream([content]))
    await split(CALL, blobs=blobs, limits=Limits(), decoder=DECODER)
    levels = await blobs.get_json(CALL.run_key.levels, Levels)
    assert levels is not None
    return blobs, levels


@pytest.mark.parametrize(
    ("name", "container", "encoding", "rate", "seconds"),
    [
        ("call.flac", "flac", "flac", 8_000, 1.5),
        ("call.mp3", "mp3", "mp3float", 44_100, 2.5),
        ("call.opus", "ogg", "opus", 48_000, 2.5),
        ("call.ogg", "ogg", "vorbis", 32_000, 2.5),
        ("call.m4a", "m4a", "aac", 44_100, 2.5),
        ("call-faststart.m4a", "m4a", "aac", 22_050, 2.5),
        ("call-alac.m4a", "m4a", "alac", 8_000, 1.25),
        ("video.mp4", "m4a", "aac", 16_000, 2.5),
    ],
)
def test_a_stereo_file_of_each_kind_is_split_into_its_speakers(  # noqa: PLR0913, PLR0917
    tmp_path: Path, name: str, container: str, encoding: str, rate: int, seconds: float
) -> None:
    async def work() -> None:
        blobs, levels = await split_up(tmp_path, file(name))
        assert (levels.container, levels.encoding) == (container, encoding)
        assert (levels.sample_rate, levels.channels, levels.warnings) == (rate, 2, ())
        assert levels.duration == pytest.approx(seconds, abs=0.07)
        for channel, hertz, level in zip(
            ("left", "right"), (440, 1_000), levels.levels, strict=True
        ):
            samples = await whole(blobs, channel)
            assert len(samples) == round(levels.duration * 16_000)
            assert pitch(samples[2_000:18_000]) == pytest.approx(hertz, abs=2)
            assert level.rms == pytest.approx(-9.03, abs=0.5)

    run(work())


@pytest.mark.parametrize(
    ("name", "container", "encoding", "seconds"),
    [("wav49.wav", "wav49", "gsm_ms", 2.52), ("mono-8k.mp3", "mp3", "mp3float", 2.6)],
)
def test_a_mono_file_is_one_speaker(
    tmp_path: Path, name: str, container: str, encoding: str, seconds: float
) -> None:
    async def work() -> None:
        blobs, levels = await split_up(tmp_path, file(name))
        assert (levels.container, levels.encoding) == (container, encoding)
        assert (levels.sample_rate, levels.channels, levels.warnings) == (8_000, 1, ())
        assert levels.duration == pytest.approx(seconds, abs=0.1)
        assert [level.channel for level in levels.levels] == ["left"]
        assert pitch((await whole(blobs, "left"))[2_000:34_000]) == pytest.approx(440, abs=2)

    run(work())


def test_nothing_is_lost_by_a_lossless_file(tmp_path: Path) -> None:
    sound = both(440, 1_000, 16_000, 20_000)
    content = io.BytesIO()
    soundfile.write(content, np.rint(sound).astype(np.int16), 16_000, format="FLAC")

    async def work() -> list[np.ndarray[Any, np.dtype[np.int16]]]:
        found = []
        for folder, upload in (
            ("flac", content.getvalue()),
            ("wav", wav_of(sound, ENCODINGS[1, 16], 16_000)),
        ):
            blobs, _ = await split_up(tmp_path / folder, upload)
            found.append(np.stack([await whole(blobs, side) for side in ("left", "right")]))
        return found

    flac, wav = run(work())
    assert (flac == wav).all()


def test_a_gsm_file_that_was_cut_off_is_warned_of(tmp_path: Path) -> None:
    _, levels = run(split_up(tmp_path, file("wav49.wav")[:-1_000]))
    assert [warning.code for warning in levels.warnings] == ["truncated"]
    assert levels.duration == pytest.approx(1.88)


def test_the_sound_can_be_read_again_and_at_the_same_time() -> None:
    async def reading(sound: AudioSource) -> bytes:
        return b"".join([piece async for piece in sound.chunks()])

    async def work() -> None:
        async with opened(file("call.mp3"), "mp3") as sound:
            first, second = await asyncio.gather(reading(sound), reading(sound))
            assert len(first) == sound.frames * sound.audio.frame_bytes
            assert first == second == await reading(sound)

    run(work())


@pytest.mark.parametrize(
    ("name", "container"),
    [
        ("call.flac", "flac"),
        ("call.mp3", "mp3"),
        ("call.opus", "ogg"),
        ("call.ogg", "ogg"),
        ("call.m4a", "m4a"),
    ],
)
def test_a_damaged_file_is_heard_as_far_as_it_can_be(name: str, container: str) -> None:
    good = run(described(file(name), container))
    bad = run(described(damaged(file(name)), container))
    assert 1 <= bad.seconds <= good.seconds + 0.1
    assert good.warnings == ()
    assert {warning.code for warning in bad.warnings} & {"decode_errors", "truncated"}


@pytest.mark.parametrize(
    ("name", "container"),
    [("call.flac", "flac"), ("call-faststart.m4a", "m4a")],
)
def test_a_file_that_was_cut_off_and_tells_its_length_is_warned_of(
    name: str, container: str
) -> None:
    sound = run(described(file(name)[: len(file(name)) * 9 // 10], container))
    assert sound.seconds >= 1
    assert "truncated" in [warning.code for warning in sound.warnings]


@pytest.mark.parametrize("name", ["call.mp3", "call.ogg", "call.opus"])
def test_a_file_that_was_cut_off_is_as_long_as_what_is_there(name: str) -> None:
    container = "mp3" if name.endswith("mp3") else "ogg"
    whole_file = file(name)
    sound = run(described(whole_file[: len(whole_file) * 9 // 10], container))
    assert 1 <= sound.seconds < 2.4


TEXTS = {
    "flac": file("call.flac")[:42] + b"It was a dark and stormy night. " * 99,
    "mp3": b"ffconcat version 1.0\nfile /etc/hostname\n" * 99,
    "ogg": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nfile:///etc/hostname\n" * 99,
    "m4a": file("call.m4a")[:32] + b"It was a dark and stormy night. " * 99,
    "wav49": b"#EXTM3U\nhttp://localhost/call.wav\n" * 99,
}


@pytest.mark.parametrize("container", TEXTS)
def test_a_text_of_any_name_is_nothing_that_can_be_decoded(container: str) -> None:
    error = refusal(TEXTS[container], container)
    assert isinstance(error, Permanent)
    assert error.code == "invalid_audio"


@pytest.mark.parametrize("container", ["flac", "mp3", "ogg", "m4a", "wav49"])
def test_a_file_is_opened_as_what_it_was_said_to_be_and_never_guessed(container: str) -> None:
    names = {"call.flac": "flac", "call.mp3": "mp3", "call.opus": "ogg", "call.m4a": "m4a"}
    for name, own in names.items():
        if own not in {container, "mp3"}:  # an MP3 may begin anywhere in a file
            error = refusal(file(name), container)
            assert isinstance(error, Permanent), name
            assert error.code == "invalid_audio"


@pytest.mark.parametrize("name", ["call.m4a", "call.flac", "call.ogg"])
def test_a_file_with_no_more_than_its_head_cannot_be_decoded(name: str) -> None:
    container = {"call.m4a": "m4a", "call.flac": "flac", "call.ogg": "ogg"}[name]
    assert refusal(file(name)[:1_000], container).code == "invalid_audio"


def test_decoding_stops_where_a_recording_is_too_long() -> None:
    error = refusal(flac_of(600), "flac", Limits(max_seconds=60))
    assert (error.code, "more than 60 s" in str(error)) == ("audio_constraints", True)


def test_the_limits_hold_for_what_was_decoded(tmp_path: Path) -> None:
    async def work(limits: Limits) -> None:
        blobs = ObjectBlobs.open(tmp_path.as_uri())
        await blobs.put(CALL.audio, stream([file("call.m4a")]))
        await split(CALL, blobs=blobs, limits=limits, decoder=DECODER)

    for limits in (Limits(channels=(1,)), Limits(max_rate=44_000), Limits(min_seconds=3)):
        with pytest.raises(Permanent) as refused:
            run(work(limits))
        assert refused.value.code == "audio_constraints"


def test_a_file_whose_index_lies_is_refused() -> None:
    content = file("call-faststart.m4a")
    at = content.index(b"stsz") + 12
    lying = content[:at] + b"\x0f\xff\xff\xff" + content[at + 4 :]
    error = refusal(lying, "m4a")
    assert isinstance(error, Permanent)
    assert error.code == "invalid_audio"


def while_decoding(act: Callable[[psutil.Process], None], bounds: Bounds | None = None) -> None:
    """Do something to the child in the middle of its work, and go on reading."""

    async def work() -> None:
        async with opened(flac_of(100), "flac", bounds=bounds) as sound:
            pieces = sound.chunks()
            assert await anext(pieces)
            (child,) = children()
            act(child)
            async for _ in pieces:
                pass

    run(work())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_child_that_is_killed_can_be_tried_again(number: signal.Signals) -> None:
    with pytest.raises(Transient, match=f"status -{int(number)}"):
        while_decoding(lambda child: child.send_signal(number))


def test_a_file_that_takes_too_much_cpu_is_given_up() -> None:
    endless = Limits(max_seconds=1e6)
    bounds = Bounds(cpu=1, cpu_share=0)

    async def work() -> None:
        async with opened(file("mono-8k.mp3") * 8_000, "mp3", endless, bounds):
            pass

    with pytest.raises(Permanent, match="more than the 1 s of CPU") as refused:
        run(work())
    assert refused.value.code == "invalid_audio"


def test_a_child_that_says_nothing_is_ended() -> None:
    with pytest.raises(Transient, match="sent nothing"):
        while_decoding(psutil.Process.suspend, Bounds(cpu=10, cpu_share=0, patience=0.05))


def test_a_full_disk_is_an_outage_and_no_failed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("r+b") as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda: full)
        assert isinstance(refusal(file("call.mp3"), "mp3"), Unavailable)


def test_a_machine_without_room_for_a_process_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("asyncio.create_subprocess_exec", fail)
    assert isinstance(refusal(file("call.mp3"), "mp3"), Unavailable)


def test_a_child_is_confined() -> None:
    def look(child: psutil.Process) -> None:
        limits = Path(f"/proc/{child.pid}/limits").read_text()
        bounds = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
        assert bounds["Max cpu time"] == ["120", "121"]
        assert bounds["Max data size"] == [str(256 << 20)] * 2
        assert bounds["Max address space"] == [str(512 << 20)] * 2
        assert bounds["Max file size"] == ["0", "0"]
        assert bounds["Max core file size"] == ["0", "0"]
        assert set(child.environ()) <= {"LD_LIBRARY_PATH"}
        assert child.memory_info().rss < 100 << 20
        assert not child.net_connections()

    os.environ["A_SECRET"] = "word"  # noqa: S105
    try:
        while_decoding(look)
    finally:
        del os.environ["A_SECRET"]


def test_a_reader_that_stops_early_ends_the_child() -> None:
    async def work() -> None:
        async with opened(flac_of(100), "flac") as sound:
            pieces: AsyncIterator[bytes] = sound.chunks()
            await anext(pieces)
            assert children()
        assert not children()

    run(work())


def test_the_parent_does_not_load_the_decoders() -> None:
    look = "import sys, functions.split.main; sys.exit('av' in sys.modules)"
    subprocess.run([sys.executable, "-c", look], cwd=ROOT, check=True)
