"""What `WhisperRecognizer` promises besides `test_recognizer.py`, with faster-whisper itself."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faster_whisper
import pytest
from faster_whisper import tokenizer, utils
from starlette.requests import Request as HttpRequest
from tokenizers import Tokenizer

from events.documents import Request
from functions.transcribe import main, whisper
from functions.transcribe.models import REPOSITORIES, NoEngine, find
from functions.transcribe.recognizer import Samples
from functions.transcribe.settings import Settings
from functions.transcribe.whisper import WhisperRecognizer, has_gpu
from shared.errors import Permanent, Transient
from shared.languages import LANGUAGES
from tests.recognizers import NANO, NOWHERE, ROOT, hear, nano, two_questions


@pytest.fixture(scope="module")
def speech() -> Samples:
    return two_questions().samples


@pytest.fixture(scope="module")
def recognizer() -> Iterator[WhisperRecognizer]:
    recognizer = nano()
    asyncio.run(recognizer.warm())
    yield recognizer
    asyncio.run(recognizer.close())


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with the model that a test may break."""
    return shutil.copytree(NANO, tmp_path / "nano")


def test_the_engine_names_model_versions_and_arithmetic(recognizer: WhisperRecognizer) -> None:
    engine = recognizer.engine
    assert engine.name == "whisper-nano"
    arithmetic = "float16" if has_gpu() else "int8"
    assert engine.revision == f"{version('faster-whisper')} {arithmetic}"


def test_another_file_makes_another_digest(recognizer: WhisperRecognizer, copied: Path) -> None:
    assert find(str(copied), NOWHERE).digest() == recognizer.engine.digest
    (copied / "config.json").write_text("{}")
    assert find(str(copied), NOWHERE).digest() != recognizer.engine.digest


def test_a_silent_channel_never_reaches_the_model(copied: Path, speech: Samples) -> None:
    (copied / "model.bin").write_bytes(b"no model")
    recognizer = WhisperRecognizer(find(str(copied), NOWHERE))
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
        Request(prompt="refund " * 14_000, hotwords=("invoice",) * 14_000),
        Request(prompt="<|endoftext|><|startoftranscript|>", hotwords=("<|nospeech|>", "\0", "")),
    ],
    ids=["language", "tag", "prompt", "hotwords", "far too much", "tokens that steer"],
)
def test_hints_are_taken(recognizer: WhisperRecognizer, speech: Samples, request_: Request) -> None:
    segments = hear(recognizer, speech, request_)
    assert segments
    assert 0 <= segments[0].start_time <= segments[-1].end_time <= 9


def test_hotwords_and_prompt_reach_the_model(
    recognizer: WhisperRecognizer, speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = results_of("get_prompt", monkeypatch)
    hear(recognizer, speech, Request(prompt="my refund", hotwords=("card", "ticket")))
    text = written(prompts[0])
    assert "card, ticket my refund" in text


def test_a_long_channel_is_heard_in_parts_as_if_it_were_one(
    recognizer: WhisperRecognizer, speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = results_of("transcribe", monkeypatch)
    whole = hear(recognizer, speech)
    assert len(given) == 1
    monkeypatch.setattr(whisper, "PART", 5)
    parts = hear(recognizer, speech)
    assert len(given) == 1 + 2
    assert [segment.text for segment in parts] == [segment.text for segment in whole]
    for part, one in zip(parts, whole, strict=True):
        assert part.start_time == pytest.approx(one.start_time, abs=0.5)


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


@pytest.mark.parametrize(
    "trouble", [RuntimeError("CUDA failed with error out of memory"), IndexError("words")]
)
def test_trouble_inside_the_engine_is_transient(
    recognizer: WhisperRecognizer,
    speech: Samples,
    trouble: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise trouble

    monkeypatch.setattr(faster_whisper.WhisperModel, "generate_with_fallback", fail)
    with pytest.raises(Transient, match=str(trouble)):
        hear(recognizer, speech)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_broken_file_of_the_model_is_told_before_any_recording(copied: Path, name: str) -> None:
    whole = (copied / name).read_bytes()
    (copied / name).write_bytes(whole[: len(whole) // 2])
    recognizer = WhisperRecognizer(find(str(copied), NOWHERE))
    with pytest.raises(NoEngine, match=f"{copied} cannot be loaded as "):
        asyncio.run(recognizer.warm())


def test_a_model_that_wants_another_spectrogram_is_told_before_any_recording(copied: Path) -> None:
    facts = json.loads((copied / "preprocessor_config.json").read_text())
    (copied / "preprocessor_config.json").write_text(json.dumps(facts | {"feature_size": 128}))
    with pytest.raises(NoEngine, match="80 mel bands"):
        asyncio.run(WhisperRecognizer(find(str(copied), NOWHERE)).warm())


@pytest.mark.skipif(has_gpu(), reason="needs a machine without a GPU")
def test_arithmetic_that_the_machine_has_not_is_told_before_any_recording() -> None:
    recognizer = WhisperRecognizer(find(str(NANO), NOWHERE), compute_type="float16")
    with pytest.raises(NoEngine, match="as float16"):
        asyncio.run(recognizer.warm())


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
    monkeypatch.setattr(main, "settings", without_a_model)
    probe = HttpRequest({"type": "http", "method": "GET", "path": "/ready", "headers": []})
    response = asyncio.run(main.runtime.respond(probe))
    assert response.status_code == 503
    answer = json.loads(bytes(response.body))
    assert answer["error"] == "no_engine"
    assert str(without_a_model.whisper_model) in answer["message"]


def test_a_function_without_its_model_does_not_even_start(without_a_model: Settings) -> None:
    env = {"RECOGNIZER": "whisper", "WHISPER_MODEL": str(without_a_model.whisper_model)}
    command = [sys.executable, "-m", "functions.transcribe.main"]
    ran = subprocess.run(
        command, env=env, cwd=ROOT.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"transcribe cannot start: No Whisper model at {env['WHISPER_MODEL']}")


def test_choosing_an_engine_imports_none_of_it() -> None:
    script = (
        "import sys; from functions.transcribe.engines import choose;"
        "from functions.transcribe.settings import Settings; choose(Settings());"
        "print({'faster_whisper', 'ctranslate2', 'pocketsphinx'} & sys.modules.keys())"
    )
    env = {"RECOGNIZER": "whisper", "WHISPER_MODEL": str(NANO)}
    told = subprocess.check_output(
        [sys.executable, "-c", script], env=env, cwd=ROOT.parent, text=True
    )
    assert told.strip() == "set()"


def results_of(method: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a method of faster-whisper's model returns from now on."""
    given: list[Any] = []
    original: Callable[..., Any] = getattr(faster_whisper.WhisperModel, method)

    def note(*args: object, **options: object) -> object:
        given.append(original(*args, **options))
        return given[-1]

    monkeypatch.setattr(faster_whisper.WhisperModel, method, note)
    return given


def written(prompt: list[int]) -> str:
    text: str = Tokenizer.from_file(str(NANO / "tokenizer.json")).decode(prompt)
    return text
