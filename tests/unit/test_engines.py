import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from functions.transcribe.engines import choose_recognizer, model_for, setup_of
from functions.transcribe.settings import Settings
from functions.transcribe.sphinx.recognizer import SphinxRecognizer
from functions.transcribe.whisper.decoding import Search
from functions.transcribe.whisper.models import FIXTURE, NoEngine, cached, find_model, in_cache
from functions.transcribe.whisper.recognizer import WhisperRecognizer, WhisperSetup

FILES = ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


def yes() -> bool:
    return True


def no() -> bool:
    return False


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings with a cache of their own, whatever the environment says."""

    def make(
        recognizer: Literal["auto", "whisper", "sphinx"] = "auto", model: str | None = None
    ) -> Settings:
        return Settings.model_construct(
            recognizer=recognizer, whisper_model=model, hub_cache=tmp_path / "hub"
        )

    return make


def folder(path: Path, *files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name in files or FILES:
        (path / name).write_bytes(b"x")
    return path


def download(cache: Path, repository: str, commit: str = COMMIT, *files: str) -> Path:
    """What the hub's client leaves of a download."""
    place = cache / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text(commit)
    return folder(place / "snapshots" / commit, *files)


def test_auto_without_a_model_is_sphinx_and_says_so(settings: Callable[..., Settings]) -> None:
    chosen = choose_recognizer(settings(), installed=yes, has_gpu=no)
    assert isinstance(chosen.recognizer, SphinxRecognizer)
    assert chosen.degraded == ("recognizer:sphinx",)
    assert "pocwhisp models pull small" in chosen.because


def test_auto_with_a_model_but_without_the_package_is_sphinx(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    chosen = choose_recognizer(
        settings(model=str(folder(tmp_path / "mine"))), installed=no, has_gpu=no
    )
    assert isinstance(chosen.recognizer, SphinxRecognizer)
    assert "pip install" in chosen.because


def test_auto_takes_the_folder_that_is_named(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    chosen = choose_recognizer(
        settings(model=str(folder(tmp_path / "mine"))), installed=yes, has_gpu=no
    )
    assert isinstance(chosen.recognizer, WhisperRecognizer)
    assert (chosen.degraded, chosen.because) == ((), "")


@pytest.mark.parametrize(
    ("has_gpu", "picked"), [(yes, "large-v3"), (no, "small")], ids=["on a GPU", "on a CPU"]
)
def test_auto_takes_the_best_in_the_cache_for_the_machine(
    settings: Callable[..., Settings], tmp_path: Path, has_gpu: Callable[[], bool], picked: str
) -> None:
    for name in ("large-v3", "small", "tiny"):
        download(tmp_path / "hub", f"Systran/faster-whisper-{name}")
    assert model_for(settings(), installed=yes, has_gpu=has_gpu).name == picked


def test_auto_takes_the_next_best_if_the_best_is_only_half_there(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    download(tmp_path / "hub", "Systran/faster-whisper-small", COMMIT, "config.json")
    download(tmp_path / "hub", "Systran/faster-whisper-tiny")
    assert model_for(settings(), installed=yes, has_gpu=no).name == "tiny"


def test_auto_never_asks_for_a_gpu_without_a_model(settings: Callable[..., Settings]) -> None:
    def has_gpu() -> bool:
        raise AssertionError("a second of imports for nothing")

    assert choose_recognizer(settings(), installed=yes, has_gpu=has_gpu).degraded


def test_auto_never_takes_a_model_made_for_tests(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    made_for_tests = str(folder(tmp_path / "nano", *FILES, FIXTURE))
    chosen = choose_recognizer(settings(model=made_for_tests), installed=yes, has_gpu=no)
    assert isinstance(chosen.recognizer, SphinxRecognizer)
    assert "made for tests" in chosen.because
    asked_for = choose_recognizer(settings("whisper", made_for_tests), installed=yes, has_gpu=no)
    assert isinstance(asked_for.recognizer, WhisperRecognizer)


def test_sphinx_by_name_is_not_degraded(settings: Callable[..., Settings], tmp_path: Path) -> None:
    chosen = choose_recognizer(
        settings("sphinx", str(folder(tmp_path / "mine"))), installed=yes, has_gpu=no
    )
    assert isinstance(chosen.recognizer, SphinxRecognizer)
    assert chosen.degraded == ()


def test_whisper_by_name_without_any_model_says_how_to_get_one(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    with pytest.raises(NoEngine) as error:
        choose_recognizer(settings("whisper"), installed=yes, has_gpu=no)
    assert str(tmp_path / "hub") in str(error.value)
    assert "pocwhisp models pull small" in str(error.value)
    assert "\n" not in str(error.value)


def test_whisper_by_name_without_the_package_says_how_to_get_it(
    settings: Callable[..., Settings],
) -> None:
    with pytest.raises(NoEngine, match=r"pip install 'pocwhisp\[whisper\]'"):
        choose_recognizer(settings("whisper"), installed=no, has_gpu=no)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_that_lacks_a_file_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    place = folder(tmp_path / "mine", *(file for file in FILES if file != name))
    with pytest.raises(NoEngine, match=f"{place}.* lacks {name.replace('.txt', '.json')}"):
        find_model(str(place), tmp_path)


@pytest.mark.parametrize("wanted", ["/no/such/folder", "./here/and/there", "huge"])
def test_what_is_neither_a_folder_nor_a_name_is_told(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(NoEngine, match=r"no folder|no such folder"):
        find_model(wanted, tmp_path)


@pytest.mark.parametrize("wanted", ["small", "small@v9", "owner/model"])
def test_what_is_not_in_the_cache_is_told_with_the_command_that_gets_it(
    tmp_path: Path, wanted: str
) -> None:
    with pytest.raises(NoEngine, match=f"pocwhisp models pull {wanted}$"):
        find_model(wanted, tmp_path)


@pytest.mark.parametrize("wanted", ["small", f"small@{COMMIT}", f"small@{COMMIT[:7]}"])
def test_a_name_leads_to_its_snapshot(tmp_path: Path, wanted: str) -> None:
    snapshot = download(tmp_path, "Systran/faster-whisper-small")
    model = find_model(wanted, tmp_path)
    assert (model.name, model.folder, model.revision) == ("small", snapshot, COMMIT)


def test_a_repository_of_ones_own_is_named_without_its_owner(tmp_path: Path) -> None:
    download(tmp_path, "acme/calls-v2")
    assert find_model("acme/calls-v2", tmp_path).name == "calls-v2"


def test_a_broken_off_update_leaves_the_older_model_in_use(tmp_path: Path) -> None:
    download(tmp_path, "Systran/faster-whisper-small", COMMIT)
    download(tmp_path, "Systran/faster-whisper-small", OTHER, "config.json")
    assert find_model("small", tmp_path).revision == COMMIT
    with pytest.raises(NoEngine, match=r"lacks model\.bin"):
        find_model(f"small@{OTHER}", tmp_path)


def test_a_file_that_is_only_linked_is_not_there(tmp_path: Path) -> None:
    snapshot = download(tmp_path, "Systran/faster-whisper-small")
    (snapshot / "model.bin").unlink()
    (snapshot / "model.bin").symlink_to(tmp_path / "blobs" / "gone")
    model = cached("small", "", tmp_path)
    assert model is not None
    assert model.missing == ("model.bin",)


def test_the_cache_shows_whisper_models_only(tmp_path: Path) -> None:
    download(tmp_path, "Systran/faster-whisper-small", COMMIT, "config.json")
    download(tmp_path, "acme/calls-v2")
    download(tmp_path, "acme/a-chat-model", COMMIT, "model.safetensors")
    assert [(model.name, not model.missing) for model in in_cache(tmp_path)] == [
        ("small", False),
        ("calls-v2", True),
    ]


def test_a_file_named_by_its_digest_is_not_read_again(tmp_path: Path) -> None:
    plain = folder(tmp_path / "plain")
    snapshot = download(tmp_path / "hub", "acme/calls-v2")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert find_model(str(plain), tmp_path).digest() == find_model(str(snapshot), tmp_path).digest()
    (snapshot / "model.bin").unlink()
    (tmp_path / digest).write_bytes(b"anything")
    (snapshot / "model.bin").symlink_to(tmp_path / digest)
    assert find_model(str(plain), tmp_path).digest() == find_model(str(snapshot), tmp_path).digest()


def test_an_empty_setting_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WHISPER_MODEL", "CHANNEL", "RECOGNIZER", "HF_HOME"):
        monkeypatch.setenv(name, "")
    settings = Settings()
    assert (settings.whisper_model, settings.channel, settings.recognizer) == (None, None, "auto")


def test_every_setting_of_the_engine_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {
        "WHISPER_COMPUTE_TYPE": "int8_float16",
        "WHISPER_THREADS": "3",
        "WHISPER_DEVICE": "cuda",
        "WHISPER_BEAM": "2",
        "WHISPER_BATCH": "12",
        "WHISPER_TIMESTAMPS": "true",
        "WHISPER_PADDING": "zero",
        "GPU_INDICES": "[1, 2]",
        "GPU_MEMORY_FRACTION": "0.5",
        "CONCURRENCY": "7",
    }
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    assert setup_of(Settings()) == WhisperSetup(
        compute_type="int8_float16",
        threads=3,
        device="cuda",
        indices=(1, 2),
        fraction=0.5,
        batch=12,
        lanes=14,
        padding="zero",
        search=Search(beam=2, timestamps=True),
    )


def test_an_empty_environment_is_the_usual_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    setup = setup_of(Settings())
    assert (setup.device, setup.indices, setup.batch) == ("auto", (), None)
    assert setup.mark == WhisperSetup().mark == ""


def test_both_channels_of_every_event_in_work_have_a_lane() -> None:
    assert setup_of(Settings(concurrency=5)).lanes == 2 * 5


@pytest.mark.parametrize(("heads", "layers"), [([[1, 0], [3, 2]], 4), ([], 32)])
def test_the_decoders_layers_are_told_by_the_heads_that_align_words(
    tmp_path: Path, heads: list[list[int]], layers: int
) -> None:
    place = folder(tmp_path / "mine")
    (place / "config.json").write_text(json.dumps({"alignment_heads": heads}))
    assert find_model(str(place), tmp_path).layers == layers
