import io
from typing import Any, Literal

import pytest
from rich.console import Console, RenderableType

from infra.cli.report import conversation, facts, quality
from shared.text.plain import plain_lines

FINE = {"channel": "left", "silent": False, "clipped": 0.0}
METADATA: dict[str, Any] = {
    "model_versions": {"whisper": None, "recognizer": "test 1"},
    "degraded": [],
    "processing_time": 1.0,
    "duration": 2.0,
}


def segment(name: str, speaker: str, text: str, *met: str, listening: bool = False) -> Any:  # noqa: ANN401
    return {
        "id": name,
        "speaker": speaker,
        "text": text,
        "start_time": 0.5,
        "end_time": 1.0,
        "confidence": 0.5,
        "overlaps": list(met),
        "backchannel": listening,
    }


def session(*segments: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"transcript": {"segments": segments}, "request": {"channels": {"left": "agent"}}}


TALK = session(segment("s1", "left", "good morning"), segment("s2", "right", "hello"))
AT_ONCE = session(
    segment("s1", "left", "your router", "s2"),
    segment("s2", "right", "mm-hm", "s1", listening=True),
)


def shown(part: RenderableType, *, colours: bool = False) -> str:
    stream = io.StringIO()
    system: Literal["standard"] | None = "standard" if colours else None
    Console(file=stream, width=120, force_terminal=colours, color_system=system).print(part)
    return stream.getvalue()


def test_segments_at_once_name_each_other() -> None:
    [router, listening] = [
        line for line in shown(conversation(AT_ONCE)).splitlines() if "s1" in line
    ]
    assert router.split("your router")[1].split()[1::2] == ["0.50", "s1", "s2"]
    assert listening.split("mm-hm")[1].split()[1::2] == ["0.50", "s2", "s1"]


def test_a_conversation_in_which_nobody_interrupts_needs_no_ids() -> None:
    table = shown(conversation(TALK))
    assert "at once" not in table
    assert "s1" not in table


def test_signs_of_listening_are_dim() -> None:
    lines = shown(conversation(AT_ONCE), colours=True).splitlines()
    dim = "\x1b[2;35m"
    assert [dim in line for line in lines if "router" in line or "mm-hm" in line] == [False, True]


def test_signs_of_listening_are_in_brackets_in_plain_text() -> None:
    assert list(plain_lines(AT_ONCE)) == [
        "[00:00.5] agent: your router",
        "[00:00.5] right: (mm-hm)",
    ]


def test_a_result_of_an_older_server_is_printed_too() -> None:
    old = {key: text for key, text in segment("s1", "left", "hello").items() if key != "overlaps"}
    assert "hello" in shown(conversation(session(old)))
    assert "recording" in shown(facts(METADATA))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, []),
        ({"dual_mono": False, "channels": [FINE], "bleed": []}, []),
        ({"dual_mono": True, "channels": [FINE]}, ["the same on both channels"]),
        ({"channels": [FINE | {"silent": True}]}, ["left silent"]),
        ({"channels": [FINE | {"clipped": 0.0004}]}, []),
        ({"channels": [FINE | {"clipped": 0.0315}]}, ["left 3.1% clipped"]),
        (
            {"bleed": [{"source": "left", "into": "right", "gain": -24.6}]},
            ["left heard on right at -25 dB"],
        ),
    ],
)
def test_quality_tells_what_is_wrong_and_nothing_else(
    found: dict[str, Any], words: list[str]
) -> None:
    assert list(quality(found)) == words


def test_the_facts_tell_languages_quality_and_warnings() -> None:
    table = shown(
        facts(
            METADATA
            | {
                "languages": [
                    {"channel": "left", "code": "en", "probability": 0.98},
                    {"channel": "right", "code": "de", "probability": None},
                ],
                "quality": {"channels": [FINE | {"silent": True}]},
                "warnings": [{"code": "echo_removed", "message": "taken out [of] the transcript"}],
            }
        )
    )
    assert "left en (0.98), right de" in table
    assert "left silent" in table
    assert "taken out [of] the transcript" in table


def test_the_facts_of_a_sound_recording_mention_no_flaw() -> None:
    table = shown(facts(METADATA | {"languages": [], "quality": None, "warnings": []}))
    assert not {"language", "quality", "warning"} & set(table.split())
