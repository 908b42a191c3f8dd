"""What was found out about the audio and the turns comes back from the record."""

import re

import pytest

from events.base import Channel
from events.documents import (
    AudioWarning,
    Bleed,
    ChannelLanguage,
    ChannelQuality,
    Echo,
    Quality,
    SpokenSegment,
    Summary,
    Transcript,
)
from functions.persist.adapters import PostgresRecordWriter
from shared.record.database import Database
from tests.support.examples import (
    RECORDING,
    levels,
    parked,
    summarized,
    summary,
    transcript,
    was_split,
)
from tests.support.records import ROOT, accept, found, on

pytest_plugins = ["tests.support.databases"]

QUALITY = Quality(
    dual_mono=False,
    channels=(
        ChannelQuality(channel="left", silent=False, clipped=0.25),
        ChannelQuality(channel="right", silent=True, clipped=0.0),
    ),
    bleed=(Bleed(source="left", into="right", delay=0.04, gain=-24.5, correlation=0.9),),
)
LANGUAGES = (
    ChannelLanguage(channel="left", code="en", probability=0.75),
    ChannelLanguage(channel="right", code="de"),
)


def echo(channel: Channel, start: float, text: str = "hello") -> Echo:
    return Echo(channel=channel, start_time=start, end_time=start + 0.5, text=text)


def at_once() -> Transcript:
    """Two segments that overlap, the second a sign of listening."""
    first, second = transcript().segments
    doubts = {"mean_log_probability": -0.25, "no_speech_probability": 0.125}
    first = first.model_copy(update={"overlaps": ("s2",), **doubts})
    second = second.model_copy(update={"overlaps": ("s1",), "backchannel": True})
    return transcript().model_copy(update={"segments": (first, second)})


def test_what_is_known_of_a_segment_comes_back(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        assert await PostgresRecordWriter(database).complete(summarized(), at_once(), summary())
        session = await found(database)
        assert session.transcript is not None
        assert session.transcript.segments == list(at_once().segments)

    on(url, work)


def test_quality_languages_and_echoes_come_back(url: str) -> None:
    measured = levels().model_copy(update={"quality": QUALITY})
    echoes = (echo("right", 1.0), echo("right", 3.0), echo("left", 2.0))
    heard = transcript().model_copy(update={"languages": LANGUAGES, "echoes": echoes})

    async def work(database: Database) -> None:
        await accept(database)
        await PostgresRecordWriter(database).describe(was_split(), measured)
        assert await PostgresRecordWriter(database).complete(summarized(), heard, summary())
        metadata = (await found(database)).metadata
        assert metadata.quality == QUALITY
        assert metadata.languages == list(LANGUAGES)
        assert metadata.echoes == list(echoes)

    on(url, work)


def test_a_failed_run_tells_what_was_taken_out_of_its_transcript(url: str) -> None:
    heard = transcript().model_copy(update={"echoes": (echo("right", 1.0),)})

    async def work(database: Database) -> None:
        await accept(database)
        assert await PostgresRecordWriter(database).fail(parked(), heard)
        assert (await found(database)).metadata.echoes == list(heard.echoes)

    on(url, work)


@pytest.mark.parametrize("split_is_late", [False, True])
def test_a_warning_tells_of_echoes_beside_those_about_the_audio(
    url: str, *, split_is_late: bool
) -> None:
    heard = transcript().model_copy(update={"echoes": (echo("right", 1.0), echo("right", 3.0))})
    odd = levels(RECORDING, AudioWarning(code="bleed", message="left leaks into right"))

    async def work(database: Database) -> None:
        await accept(database)
        record = PostgresRecordWriter(database)
        if not split_is_late:
            await record.describe(was_split(), odd)
        assert await record.complete(summarized(), heard, summary())
        if split_is_late:
            await record.describe(was_split(), odd)
        bleed, removed = (await found(database)).metadata.warnings
        assert (bleed.code, removed.code) == ("bleed", "echo_removed")
        assert "right channel" in removed.message
        assert "2 passages" in removed.message
        assert "1.0 s" in removed.message

    on(url, work)


def test_nobody_between_the_engines_and_the_client_names_the_fields_of_a_segment() -> None:
    own = SpokenSegment.model_fields.keys() - Summary.model_fields.keys()
    fields = own - {"id", "words", "start_time", "end_time", "confidence", "speaker"}
    assert fields >= {"mean_log_probability", "no_speech_probability", "overlaps", "backchannel"}
    for folder in ("shared/record", "functions/ingest", "functions/persist"):
        for file in (ROOT / folder).rglob("*.py"):
            if "migrations" not in file.parts:
                named = fields & set(re.findall(r"\w+", file.read_text()))
                assert not named, file
