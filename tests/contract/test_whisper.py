"""What `WhisperRecognizer` promises besides `test_recognizer.py`, with faster-whisper itself."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from difflib import SequenceMatcher
from importlib.metadata import version
from pathlib import Path

import faster_whisper
import numpy as np
import pytest
from ctranslate2.models import Whisper
from faster_whisper import tokenizer, utils
from starlette.requests import Request as HttpRequest
from structlog.testing import capture_logs
from tokenizers import Tokenizer

from events.documents import Request, Segment
from functions.transcribe import main
from functions.transcribe.recognizer import Samples
from functions.transcribe.settings import Settings
from functions.transcribe.whisper.decoding import Search
from functions.transcribe.whisper.gpu import has_gpu
from functions.transcribe.whisper.guards import Guards
from functions.transcribe.whisper.models import REPOSITORIES, NoEngine, find_model
from functions.transcribe.whisper.recognizer import (
    WHISPER_REVISION,
    WhisperRecognizer,
    WhisperSetup,
)
from functions.transcribe.whisper.speech.spans import SpeechSettings
from shared.audio.pcm import SAMPLE_RATE
from shared.errors import Permanent, Transient, Unavailable
from shared.languages import LANGUAGES
from tests.support.recognizers import (
    NANO,
    NOWHERE,
    ROOT,
    hear,
    nano,
    recognized,
    run,
    two_questions,
)


@pytest.fixture(scope="module")
def speech() -> Samples:
    return two_questions().samples


@pytest.fixture(scope="module")
def recognizer() -> Iterator[WhisperRecognizer]:
    recognizer = nano()
    run(recognizer.warm())
    yield recognizer
    run(recognizer.close())


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with the model that a test may break."""
    return shutil.copytree(NANO, tmp_path / "nano")


def test_the_engine_names_model_versions_and_arithmetic(recognizer: WhisperRecognizer) -> None:
    engine = recognizer.engine
    assert engine.name == "whisper-nano"
    arithmetic = "float16" if has_gpu() else "int8"
    assert engine.revision == f"{version('faster-whisper')}+{WHISPER_REVISION} {arithmetic}"


@pytest.mark.parametrize(
    "setup",
    [
        WhisperSetup(padding="zero"),
        WhisperSetup(search=Search(beam=1)),
        WhisperSetup(guards=Guards(repetitive=3)),
        WhisperSetup(speech=SpeechSettings(threshold=0.6)),
    ],
    ids=["padding", "search", "guards", "speech"],
)
def test_what_changes_the_words_changes_the_engines_revision(
    recognizer: WhisperRecognizer, setup: WhisperSetup
) -> None:
    model = find_model(str(NANO), NOWHERE)
    assert WhisperRecognizer(model, setup).engine != recognizer.engine
    assert WhisperRecognizer(model, WhisperSetup(batch=1, lanes=2)).engine == recognizer.engine


def test_another_file_makes_another_digest(recognizer: WhisperRecognizer, copied: Path) -> None:
    assert find_model(str(copied), NOWHERE).digest() == recognizer.engine.digest
    (copied / "config.json").write_text("{}")
    assert find_model(str(copied), NOWHERE).digest() != recognizer.engine.digest


def test_a_silent_channel_never_reaches_the_model(copied: Path, speech: Samples) -> None:
    (copied / "model.bin").write_bytes(b"no model")
    recognizer = WhisperRecognizer(find_model(str(copied), NOWHERE))
    assert hear(recognizer, speech * 0) == []
    with pytest.raises(NoEngine):
        hear(recognizer, speech)


@pytest.mark.parametrize(
    "request_",
    [
        Request(language="en"),
        Request(language="en-GB"),
        Request(prompt="A call about an order."),
        Request(hotwords=("customer number", "last name")),
        Request(prompt="<|endoftext|><|startoftranscript|>", hotwords=("<|nospeech|>", "\0", "")),
    ],
    ids=["language", "tag", "prompt", "hotwords", "tokens that steer"],
)
def test_hints_are_taken(recognizer: WhisperRecognizer, speech: Samples, request_: Request) -> None:
    segments = hear(recognizer, speech, request_)
    assert segments
    assert 0 <= segments[0].start_time <= segments[-1].end_time <= 9


def test_hotwords_and_prompt_reach_the_model(
    recognizer: WhisperRecognizer, speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompts_given(monkeypatch)
    hear(recognizer, speech, Request(prompt="my refund", hotwords=("card", "ticket")))
    assert "card, ticket my refund" in written(prompts[0])
    assert len(prompts[0]) < 20


def test_of_far_too_many_hints_the_first_hotwords_and_the_prompts_end_reach_the_model(
    recognizer: WhisperRecognizer, speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompts_given(monkeypatch)
    hotwords = ("invoice", *("card",) * 20_000)
    hear(recognizer, speech, Request(prompt=f"{'refund ' * 14_000} ticket", hotwords=hotwords))
    text = written(prompts[0]).strip()
    assert text.startswith("invoice, card")
    assert text.endswith("ticket")
    assert 200 < len(prompts[0]) <= 448 // 2 + 4


def test_a_long_channel_is_heard_in_windows_as_if_it_were_one(
    recognizer: WhisperRecognizer, speech: Samples
) -> None:
    twice = np.tile(speech, 2)
    whole = hear(recognizer, twice)
    model = find_model(str(NANO), NOWHERE)
    short = WhisperRecognizer(model, WhisperSetup(threads=1, speech=SpeechSettings(longest=6)))
    parts = hear(short, twice)
    assert short.totals is not None
    assert short.totals.items == 2
    run(short.close())
    one, other = (" ".join(segment.text for segment in heard) for heard in (whole, parts))
    assert SequenceMatcher(None, one, other).ratio() > 0.7
    for part, full in zip(parts, whole, strict=True):
        assert part.start_time == pytest.approx(full.start_time, abs=0.5)


@pytest.mark.parametrize("hertz", [50, 440, 1_000, 3_000])
def test_a_tone_yields_no_segments(recognizer: WhisperRecognizer, hertz: int) -> None:
    times = np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.rint(8_000 * np.sin(2 * np.pi * hertz * times)).astype(np.int16)
    assert hear(recognizer, tone) == []


@pytest.mark.parametrize("level", [30, 1_000, 10_000])
def test_noise_yields_no_segments_however_loud(recognizer: WhisperRecognizer, level: int) -> None:
    drawn = np.random.default_rng(level).normal(0, level, 6 * SAMPLE_RATE)
    assert hear(recognizer, drawn.clip(-32_768, 32_767).astype(np.int16)) == []


def test_a_language_nobody_speaks_is_refused_for_good(
    recognizer: WhisperRecognizer, speech: Samples
) -> None:
    with pytest.raises(Permanent) as refusal:
        hear(recognizer, speech, Request(language="tlh"))
    assert refusal.value.code == "invalid_language"


def test_a_language_that_the_model_does_not_know_is_refused_for_good(
    recognizer: WhisperRecognizer, speech: Samples
) -> None:
    with pytest.raises(Permanent, match="does not know de, only en") as refusal:
        hear(recognizer, speech, Request(language="de"))
    assert refusal.value.code == "unsupported_language"


def test_a_model_for_english_alone_refuses_to_translate_for_good(
    recognizer: WhisperRecognizer, speech: Samples
) -> None:
    with pytest.raises(Permanent, match="cannot translate") as refusal:
        hear(recognizer, speech, Request(task="translate"))
    assert refusal.value.code == "unsupported_task"


def test_more_channels_than_there_are_lanes_are_told_to_come_again(speech: Samples) -> None:
    narrow = WhisperRecognizer(find_model(str(NANO), NOWHERE), WhisperSetup(threads=1, lanes=1))

    async def both() -> list[list[Segment] | BaseException]:
        calls = [recognized(narrow, speech) for _ in range(2)]
        return await asyncio.gather(*calls, return_exceptions=True)

    heard, refused = sorted(run(both()), key=lambda outcome: isinstance(outcome, Exception))
    assert heard
    assert isinstance(refused, Unavailable)
    run(narrow.close())


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (RuntimeError("CUDA failed with error out of memory"), Unavailable),
        (IndexError("words"), Transient),
    ],
)
def test_trouble_inside_the_engine_is_not_for_good(
    recognizer: WhisperRecognizer,
    speech: Samples,
    trouble: Exception,
    kind: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(faster_whisper.WhisperModel, "encode", fail)
        with pytest.raises(kind, match=str(trouble)):
            hear(recognizer, speech)
    assert hear(recognizer, speech)


def test_a_process_whose_gpu_broke_is_not_ready(
    speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA failed with error an illegal memory access was encountered")

    recognizer = nano()
    run(recognizer.check())
    with monkeypatch.context() as patch:
        patch.setattr(faster_whisper.WhisperModel, "encode", fail)
        with pytest.raises(Unavailable, match="illegal memory"):
            hear(recognizer, speech)
    with pytest.raises(Unavailable, match="broken"):
        run(recognizer.check())
    run(recognizer.until_broken())
    run(recognizer.close())


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_broken_file_of_the_model_is_told_before_any_recording(copied: Path, name: str) -> None:
    whole = (copied / name).read_bytes()
    (copied / name).write_bytes(whole[: len(whole) // 2])
    recognizer = WhisperRecognizer(find_model(str(copied), NOWHERE))
    with pytest.raises(NoEngine, match=f"{copied} cannot be loaded as "):
        run(recognizer.warm())


def test_a_model_that_wants_another_spectrogram_is_told_before_any_recording(copied: Path) -> None:
    facts = json.loads((copied / "preprocessor_config.json").read_text())
    (copied / "preprocessor_config.json").write_text(json.dumps(facts | {"feature_size": 128}))
    with pytest.raises(NoEngine, match="80 mel bands"):
        run(WhisperRecognizer(find_model(str(copied), NOWHERE)).warm())


@pytest.mark.skipif(has_gpu(), reason="needs a machine without a GPU")
def test_arithmetic_that_the_machine_has_not_is_told_before_any_recording() -> None:
    recognizer = WhisperRecognizer(
        find_model(str(NANO), NOWHERE), WhisperSetup(compute_type="float16")
    )
    with pytest.raises(NoEngine, match="as float16"):
        run(recognizer.warm())


@pytest.mark.skipif(has_gpu(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("indices", [(), (0,), (3, 4)])
def test_a_gpu_that_is_not_there_is_told_before_any_recording(indices: tuple[int, ...]) -> None:
    setup = WhisperSetup(device="cuda", indices=indices)
    with pytest.raises(NoEngine, match="float16 on cuda: there is no GPU that"):
        run(WhisperRecognizer(find_model(str(NANO), NOWHERE), setup).warm())


@pytest.mark.skipif(has_gpu(), reason="needs a machine without a GPU")
def test_a_function_without_its_gpu_is_not_ready_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = Settings(recognizer="whisper", whisper_model=str(NANO), whisper_device="cuda")
    error, reason = told_by_probe(wanted, monkeypatch)
    assert error == "no_engine"
    assert "no GPU" in reason


def test_the_languages_are_those_of_whisper() -> None:
    assert set(tokenizer._LANGUAGE_CODES) == LANGUAGES  # noqa: SLF001 - its only list


def test_the_names_of_models_are_those_of_faster_whisper() -> None:
    assert utils._MODELS == REPOSITORIES  # noqa: SLF001 - its only list


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"HF_HOME": "/somewhere"},
        {"XDG_CACHE_HOME": "/cache"},
        {"HF_HUB_CACHE": "/hub", "HF_HOME": "/somewhere"},
        {"HUGGINGFACE_HUB_CACHE": "/old"},
    ],
)
def test_the_cache_is_where_the_hub_has_it(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    script = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    told = subprocess.check_output([sys.executable, "-c", script], env=os.environ, text=True)
    assert Settings().model_cache == Path(told.strip())


@pytest.fixture
def without_a_model(tmp_path: Path) -> Settings:
    return Settings(recognizer="whisper", whisper_model=str(tmp_path / "gone"))


def test_a_function_without_its_model_is_not_ready_and_says_why(
    without_a_model: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, reason = told_by_probe(without_a_model, monkeypatch)
    assert error == "no_engine"
    assert str(without_a_model.whisper_model) in reason


def test_a_function_without_its_model_does_not_even_start(without_a_model: Settings) -> None:
    env = {"RECOGNIZER": "whisper", "WHISPER_MODEL": str(without_a_model.whisper_model)}
    command = [sys.executable, "-m", "functions.transcribe.main"]
    ran = subprocess.run(
        command, env=env, cwd=ROOT.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 1
    line = json.loads(ran.stdout)
    assert (line["event"], ran.stderr) == ("cannot_start", "")
    assert line["reason"].startswith(f"No Whisper model at {env['WHISPER_MODEL']}")


def test_choosing_an_engine_imports_none_of_it() -> None:
    script = (
        "import sys; from functions.transcribe.engines import choose_recognizer;"
        "from functions.transcribe.settings import Settings; choose_recognizer(Settings());"
        "print({'faster_whisper', 'ctranslate2', 'pocketsphinx'} & sys.modules.keys())"
    )
    env = {"RECOGNIZER": "whisper", "WHISPER_MODEL": str(NANO)}
    told = subprocess.check_output(
        [sys.executable, "-c", script], env=env, cwd=ROOT.parent, text=True
    )
    assert told.strip() == "set()"


def told_by_probe(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """What a function with these settings answers when asked whether it is ready, and logs."""
    monkeypatch.setattr(main, "settings", settings)
    probe = HttpRequest({"type": "http", "method": "GET", "path": "/ready", "headers": []})
    with capture_logs() as lines:
        response = asyncio.run(main.runtime.respond(probe))
    assert response.status_code == 503
    answer = json.loads(bytes(response.body))
    assert str(NANO.parent) not in answer["message"]
    return answer["error"], lines[-1]["reason"]


def prompts_given(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The prompts that the model is given from now on."""
    given: list[list[int]] = []
    generate = Whisper.generate

    def note(model: Whisper, encoded: object, prompts: list[list[int]], **how: object) -> object:
        given.extend(prompts)
        return generate(model, encoded, prompts, **how)

    monkeypatch.setattr(Whisper, "generate", note)
    return given


def written(prompt: list[int]) -> str:
    text: str = Tokenizer.from_file(str(NANO / "tokenizer.json")).decode(prompt)
    return text
