from pathlib import Path

import pytest
import typer

from infra.cli import options
from infra.client.recordings import Recording, colliding, recordings


def touched(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_folder_is_searched_to_its_depth_for_recordings(tmp_path: Path) -> None:
    touched(tmp_path, "b.wav", "a/A.WAV", "a/b/c.opus", "note.txt", ".hidden/d.wav", ".e.wav")
    found = recordings([tmp_path])
    names = [f"{tmp_path}/{name}" for name in ("a/A.WAV", "a/b/c.opus", "b.wav")]
    assert [each.name for each in found] == names
    assert [str(each.result_stem) for each in found] == ["a/A", "a/b/c", "b"]


def test_a_file_that_is_named_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    touched(tmp_path, "call.bin")
    assert recordings([tmp_path / "call.bin"]) == [
        Recording(tmp_path / "call.bin", result_stem=Path("call"))
    ]


def test_a_file_that_is_named_twice_is_taken_once(tmp_path: Path) -> None:
    touched(tmp_path, "call.wav")
    assert len(recordings([tmp_path / "call.wav", tmp_path, tmp_path / "call.wav"])) == 1


def test_two_recordings_whose_results_would_have_one_name_are_noticed(tmp_path: Path) -> None:
    touched(tmp_path, "a/call.wav", "a/call.mp3", "b/call.wav")
    both = colliding(recordings([tmp_path]))
    assert both is not None
    assert {each.path.name for each in both} == {"call.wav", "call.mp3"}
    assert colliding(recordings([tmp_path / "b"])) is None


def made(*names: str) -> list[Recording]:
    return [Recording(Path(name), Path(name).with_suffix("")) for name in names]


@pytest.mark.parametrize(
    ("found", "formats", "out", "external_id"),
    [
        ([], [], None, None),
        (made("a.wav", "b.wav"), ["srt"], None, None),
        (made("a.wav"), ["srt", "vtt"], None, None),
        (made("a.wav", "a.mp3"), [], Path("out"), None),
        (made("a.wav", "b.wav"), [], Path("out"), "call 7"),
    ],
)
def test_what_cannot_be_meant_together_is_wrong_usage(
    found: list[Recording], formats: list[str], out: Path | None, external_id: str | None
) -> None:
    with pytest.raises(typer.BadParameter):
        options.check(found, formats, out, external_id)


def test_one_format_of_one_recording_and_reports_of_several_can_be_printed() -> None:
    options.check(made("a.wav"), ["srt"], None, "call 7")
    options.check(made("a.wav", "b.wav"), [], None, None)
    options.check(made("a.wav", "b.wav"), ["srt", "vtt"], Path("out"), None)


def test_a_label_is_split_at_its_first_equals_sign() -> None:
    assert options.labels(["team=north", "formula=a=b"]) == {"team": "north", "formula": "a=b"}
    assert options.labels(None) == {}
    with pytest.raises(typer.BadParameter, match="KEY=VALUE"):
        options.labels(["north"])
