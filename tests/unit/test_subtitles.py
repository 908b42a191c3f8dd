import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.text.subtitles import LONGEST_CUE, cues, srt, vtt

NAMES = {"left": "agent", "right": "customer"}
SRT_TIMES = re.compile(r"^(\d{2,}):(\d\d):(\d\d),(\d{3}) --> (\d{2,}):(\d\d):(\d\d),(\d{3})$")

ODD = ["-->", "\n\n", "a\r\n1\n00:00:01,000 --> 00:00:02,000\n", "<v x>", "&amp;", "---->", " "]
texts = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(ODD)).map("".join))
seconds = st.floats(0, 400_000)


@st.composite
def segments(draw: st.DrawFn) -> dict[str, Any]:
    start, more = draw(seconds), draw(st.floats(0, 60))
    words = draw(st.lists(texts, max_size=60))
    step = more / max(1, len(words))
    return {
        "speaker": draw(st.sampled_from(["left", "right"])),
        "start_time": start,
        "end_time": start + more,
        "text": " ".join(words),
        "words": [
            {"word": word, "start_time": start + n * step, "end_time": start + (n + 1) * step}
            for n, word in enumerate(words)
        ],
    }


def segment(text: str, start: float = 0.5, end: float = 2.25, speaker: str = "left") -> Any:  # noqa: ANN401
    words = text.split()
    step = (end - start) / max(1, len(words))
    return {
        "speaker": speaker,
        "start_time": start,
        "end_time": end,
        "text": text,
        "words": [
            {"word": word, "start_time": start + n * step, "end_time": start + (n + 1) * step}
            for n, word in enumerate(words)
        ],
    }


def test_subrip_has_numbers_times_with_a_comma_and_the_speakers() -> None:
    conversation = [segment("good morning"), segment("hello", 3661.0, 3662.5, "right")]
    assert srt(conversation, NAMES) == (
        "1\n00:00:00,500 --> 00:00:02,250\nagent: good morning\n"
        "\n"
        "2\n01:01:01,000 --> 01:01:02,500\ncustomer: hello\n"
    )


def test_webvtt_has_its_header_times_with_a_point_and_voices() -> None:
    assert vtt([segment("a < b & c")], NAMES) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:02.250\n<v agent>a &lt; b &amp; c</v>\n"
    )


def test_a_speaker_without_a_name_is_called_by_the_channel() -> None:
    assert "left: hello" in srt([segment("hello")], {})


def test_nothing_said_gives_no_cue() -> None:
    assert srt([], {}) == ""
    assert vtt([], {}) == "WEBVTT\n"
    assert cues([segment(" \n ")], {}) == []


def test_a_segment_that_fits_is_one_cue() -> None:
    text = "word " * (LONGEST_CUE // 5)
    assert len(cues([segment(text.strip(), 0, 60)], {})) == 1


def test_a_segment_that_is_too_long_is_cut_between_words_at_their_times() -> None:
    words = [f"word{number}" for number in range(100)]
    parts = cues([segment(" ".join(words), 0.0, 100.0)], {})
    assert len(parts) > 1
    assert " ".join(part.text for part in parts).split() == words
    assert all(len(part.text) <= LONGEST_CUE for part in parts)
    assert (parts[0].start, parts[-1].end) == (0, 100_000)
    assert all(one.end == other.start for one, other in pairwise(parts))


def test_a_long_segment_without_words_is_left_whole() -> None:
    assert len(cues([{**segment("word " * 200), "words": []}], {})) == 1


@given(st.lists(segments(), max_size=8))
def test_cues_are_in_order_and_last_at_least_a_millisecond(conversation: list[Any]) -> None:
    found = cues(conversation, NAMES)
    assert [cue.start for cue in found] == sorted(cue.start for cue in found)
    assert all(0 <= cue.start < cue.end for cue in found)


@given(st.lists(segments(), max_size=8))
def test_subrip_reads_back_as_the_cues_whatever_is_said(conversation: list[Any]) -> None:
    written = srt(conversation, NAMES)
    blocks = [block for block in written.split("\n\n") if block]
    found = cues(conversation, NAMES)
    assert len(blocks) == len(found)
    for number, (block, cue) in enumerate(zip(blocks, found, strict=True), 1):
        index, times, text, *rest = block.removesuffix("\n").split("\n")
        assert rest == []
        assert index == str(number)
        assert times_of(times) == (cue.start, cue.end)
        assert "-->" not in text


def times_of(line: str) -> tuple[int, int]:
    found = SRT_TIMES.match(line)
    assert found, line
    hours, minutes, secs, millis, *end = map(int, found.groups())
    start = ((hours * 60 + minutes) * 60 + secs) * 1000 + millis
    return start, ((end[0] * 60 + end[1]) * 60 + end[2]) * 1000 + end[3]


@given(st.lists(segments(), max_size=8))
def test_webvtt_has_one_arrow_a_cue_and_no_tag_but_voices(conversation: list[Any]) -> None:
    written = vtt(conversation, {"left": "<i>--> x", "right": "customer"})
    number = len(cues(conversation, NAMES))
    assert written.count("-->") == number
    assert written.count("<") == 2 * number
    assert len([block for block in written.split("\n\n") if block]) == number + 1


@pytest.mark.parametrize("text", ["a --> b", "a ------> b"])
def test_no_arrow_of_the_text_gets_into_subrip(text: str) -> None:
    assert srt([segment(text)], {}).count("-->") == 1
