import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ingest.upload.multipart import FieldChunk, FormReader
from shared.errors import Permanent
from tests.support.examples import BOUNDARY, MULTIPART, cut, form, part

BOUNDARY_LOOKALIKES = [b"\r\n", b"--", BOUNDARY.encode(), f"\r\n--{BOUNDARY}".encode()[:-1], b"\r"]
content = st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(BOUNDARY_LOOKALIKES))).map(
    b"".join
)
allowed_content = content.filter(lambda found: f"--{BOUNDARY}".encode() not in b"\r\n" + found)
names = st.text("abcdefgäöü中 .-", min_size=1, max_size=12)


def read(body: list[bytes]) -> list[FieldChunk]:
    reader = FormReader(MULTIPART)
    pieces = [piece for block in body for piece in reader.feed(block)]
    reader.end()
    return pieces


def read_whole(body: bytes, content_type: str) -> None:
    reader = FormReader(content_type)
    reader.feed(body)
    reader.end()


def refusal(body: bytes, content_type: str = MULTIPART) -> tuple[str, str]:
    with pytest.raises(Permanent) as refused:
        read_whole(body, content_type)
    return refused.value.code, str(refused.value)


def contents(pieces: list[FieldChunk]) -> list[tuple[str, str | None, bytes]]:
    """Field, file name and content of every part, glued from its pieces."""
    parts: list[tuple[str, str | None, bytes]] = []
    for piece in pieces:
        before = b"" if piece.first else parts.pop()[2]
        parts.append((piece.field, piece.file_name, before + piece.content))
    return parts


@given(
    st.lists(st.tuples(names, st.none() | names, allowed_content), min_size=1, max_size=4),
    st.lists(st.integers(0, 1 << 16), max_size=30),
)
def test_pieces_are_the_content_wherever_the_body_is_cut(
    parts: list[tuple[str, str | None, bytes]], at: list[int]
) -> None:
    body = form(*(part(field, inside, file_name) for field, file_name, inside in parts))
    assert contents(read(cut(body, at))) == parts


def test_a_body_may_come_byte_by_byte() -> None:
    body = form(
        part("audio", b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\n", "a.wav"), part("x", b"")
    )
    pieces = read([body[at : at + 1] for at in range(len(body))])
    assert contents(pieces) == [
        ("audio", "a.wav", b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\n"),
        ("x", None, b""),
    ]


def test_a_part_begins_with_exactly_one_first_piece() -> None:
    pieces = read([form(part("audio", b""), part("audio", b"more"))])
    assert [piece.first for piece in pieces] == [True, True, False]


def test_a_file_name_that_the_database_could_not_keep_is_mended() -> None:
    (piece,) = read([form(part("audio", b"", "a\0b.wav"))])
    assert piece.file_name == "a\N{REPLACEMENT CHARACTER}b.wav"


def test_a_file_name_in_no_known_encoding_is_mended() -> None:
    body = form(part("audio", b"", "NAME")).replace(b"NAME", b"caf\xe9.wav")
    (piece,) = read([body])
    assert piece.file_name == "caf\N{REPLACEMENT CHARACTER}.wav"


@pytest.mark.parametrize(
    "content_type",
    ["", "audio/wav", "application/json", "multipart/form-data", "multipart/mixed; boundary=b"],
)
def test_a_content_type_without_a_forms_boundary_is_refused(content_type: str) -> None:
    code, message = refusal(b"", content_type)
    assert code == "invalid_request"
    assert repr(content_type) in message
    assert "no boundary" in message


def test_the_content_type_may_be_written_in_any_case() -> None:
    reader = FormReader(f'Multipart/Form-Data; Boundary="{BOUNDARY}"')
    assert contents(reader.feed(form(part("audio", b"x")))) == [("audio", None, b"x")]


def test_an_endless_boundary_is_refused() -> None:
    assert refusal(b"", f"multipart/form-data; boundary={'b' * 300}")[0] == "invalid_request"


def test_an_empty_body_is_a_missing_file() -> None:
    code, message = refusal(b"")
    assert (code, "empty" in message) == ("missing_file", True)


def test_a_form_without_parts_ends_well() -> None:
    assert read([form()]) == []


@pytest.mark.parametrize(
    "body",
    [
        b"no boundary",
        b"--another\r\n",
        f"--{BOUNDARY}x\r\n".encode(),
        f"--{BOUNDARY}\r\nbad header\r\n\r\n".encode(),
        f"--{BOUNDARY}\r\nX: {'y' * 5000}\r\n\r\n".encode(),
    ],
)
def test_a_malformed_body_is_refused(body: bytes) -> None:
    code, message = refusal(body)
    assert (code, "malformed" in message) == ("invalid_request", True)


@given(st.integers(1, 40))
def test_a_body_that_is_cut_off_is_refused(missing: int) -> None:
    body = form(part("audio", b"some audio"))
    code, message = refusal(body[: -missing - 2])  # the last line break is not needed
    assert (code, "ends before" in message) == ("invalid_request", True)
