import os
from pathlib import Path

import pytest
import typer

from infra.cli import options
from infra.cli.commands.transcribe import check_outputs
from infra.cli.languages import CODES
from infra.client.audio_files import AudioFile, find_audio_files, find_collision
from shared.languages import LANGUAGES


def touched(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_folder_is_searched_to_its_depth_for_recordings(tmp_path: Path) -> None:
    touched(tmp_path, "b.wav", "a/A.WAV", "a/b/c.opus", "note.txt", ".hidden/d.wav", ".e.wav")
    found = find_audio_files([tmp_path])
    names = [f"{tmp_path}/{name}" for name in ("a/A.WAV", "a/b/c.opus", "b.wav")]
    assert [each.name for each in found] == names
    assert [str(each.result_stem) for each in found] == ["a/A", "a/b/c", "b"]


def test_a_folder_that_vanishes_during_the_search_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched(tmp_path, "a.wav", "gone/b.wav")
    scandir = os.scandir

    def vanishing(path: str) -> object:
        if str(path).endswith("gone"):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert [each.path.name for each in find_audio_files([tmp_path])] == ["a.wav"]


def test_a_file_whose_folder_may_not_be_entered_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    touched(tmp_path, "a/b.wav")
    monkeypatch.setattr(Path, "is_file", denied)
    assert find_audio_files([tmp_path]) == []


def test_a_file_that_is_named_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    touched(tmp_path, "call.bin")
    assert find_audio_files([tmp_path / "call.bin"]) == [
        AudioFile(tmp_path / "call.bin", result_stem=Path("call"))
    ]


def test_a_file_that_is_named_twice_is_taken_once(tmp_path: Path) -> None:
    touched(tmp_path, "call.wav")
    assert len(find_audio_files([tmp_path / "call.wav", tmp_path, tmp_path / "call.wav"])) == 1


def test_two_recordings_whose_results_would_have_one_name_are_noticed(tmp_path: Path) -> None:
    touched(tmp_path, "a/call.wav", "a/call.mp3", "b/call.wav")
    both = find_collision(find_audio_files([tmp_path]))
    assert both is not None
    assert {each.path.name for each in both} == {"call.wav", "call.mp3"}
    assert find_collision(find_audio_files([tmp_path / "b"])) is None


def made(*names: str) -> list[AudioFile]:
    return [AudioFile(Path(name), Path(name).with_suffix("")) for name in names]


@pytest.mark.parametrize(
    ("found", "formats", "out", "external_id", "printed"),
    [
        ([], [], None, None, "no recording in the folder"),
        (made("a.wav", "b.wav"), ["srt"], None, None, "Several results need --out DIR"),
        (made("a.wav"), ["srt", "vtt"], None, None, "Several results need --out DIR"),
        (made("a.wav", "a.mp3"), [], Path("out"), None, "a.wav and a.mp3 would have the same"),
        (made("a.wav", "b.wav"), [], Path("out"), "call 7", "--external-id names one call"),
        (made("a.wav"), [], Path(__file__), None, "is a file; needed: a folder"),
    ],
)
def test_what_cannot_be_meant_together_is_wrong_usage(
    found: list[AudioFile],
    formats: list[str],
    out: Path | None,
    external_id: str | None,
    printed: str,
) -> None:
    with pytest.raises(typer.BadParameter, match=printed):
        check_outputs(found, formats, out, external_id, force=False)


def test_one_format_of_one_recording_and_reports_of_several_can_be_printed() -> None:
    check_outputs(made("a.wav"), ["srt"], None, "call 7", force=False)
    check_outputs(made("a.wav", "b.wav"), [], None, None, force=False)
    check_outputs(made("a.wav", "b.wav"), ["srt", "vtt"], Path("out"), None, force=True)


def test_a_label_is_split_at_its_first_equals_sign() -> None:
    assert options.labels(["team=north", "formula=a=b"]) == {"team": "north", "formula": "a=b"}
    assert options.labels(None) == {}
    with pytest.raises(typer.BadParameter, match="KEY=VALUE"):
        options.labels(["north"])


def test_a_name_that_is_not_utf_8_is_printable() -> None:
    odd = AudioFile(Path(os.fsdecode(b"caf\xe9 \xc3\xa9.wav")), Path("odd"))
    assert odd.name == "caf\ufffd é.wav"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("localhost:8080", "http://localhost:8080"),
        ("https://calls.example/pocwhisp", "https://calls.example/pocwhisp"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_the_scheme_of_a_server_may_be_left_out(given: str, url: str) -> None:
    assert options.web_address(given) == url


def test_a_broker_has_a_scheme_of_its_own() -> None:
    assert options.broker_address("there:4222") == "nats://there:4222"


@pytest.mark.parametrize("given", ["", "ftp://there", "http://", "there:port", "nats://there"])
def test_what_is_no_address_of_a_server_is_wrong_usage(given: str) -> None:
    with pytest.raises(typer.BadParameter, match="needed: http://HOST:PORT"):
        options.web_address(given)


def test_what_is_no_address_is_named_without_its_password() -> None:
    with pytest.raises(typer.BadParameter, match=r"^ftp://there is no address"):
        options.web_address("ftp://me:secret@there")


@pytest.mark.parametrize("tag", [None, "", "en", "pt-BR", "EN"])
def test_a_language_is_given_by_its_code(tag: str | None) -> None:
    assert options.language(tag) == tag


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("english", "english is the name of a language; needed: its code, en."),
        ("Castilian", "needed: its code, es"),
        ("klingon", "klingon is no language that PocWhisp knows; needed: a code such as en"),
    ],
)
def test_what_is_no_language_is_told_what_is(given: str, printed: str) -> None:
    with pytest.raises(typer.BadParameter, match=printed):
        options.language(given)


def test_every_language_has_a_name_and_every_name_a_code() -> None:
    assert set(CODES.values()) == LANGUAGES


def test_the_stacks_folder_is_the_nearest_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = tmp_path / "a" / "b"
    within.mkdir(parents=True)
    monkeypatch.chdir(within)
    assert options.data_folder() == within / ".pocwhisp"
    (tmp_path / ".pocwhisp").mkdir()
    assert options.data_folder() == tmp_path / ".pocwhisp"
    (within / ".pocwhisp").mkdir()
    assert options.data_folder() == within / ".pocwhisp"


def test_a_folder_that_is_gone_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert options.data_folder() == Path(".pocwhisp")
