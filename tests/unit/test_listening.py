import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.client.event_filter import intersect_subjects, matches

TYPE = "io.pocwhisp.recording.completed.v1"

tokens = st.lists(st.sampled_from("abc"), min_size=1, max_size=4)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.sampled_from([*"abc", "*"]), max_size=3))
    end = draw(st.sampled_from(["a", "*", ">"]))
    return ".".join([*parts, end])


def fits(subject: list[str], pattern: str) -> bool:
    """What NATS means by a pattern: `*` is one token, `>` one or more at the end."""
    parts = pattern.split(".")
    if parts[-1] == ">":
        if len(subject) < len(parts):
            return False
        parts, subject = parts[:-1], subject[: len(parts) - 1]
    return len(parts) == len(subject) and all(
        part in ("*", token) for part, token in zip(parts, subject, strict=True)
    )


@given(tokens, patterns(), patterns())
def test_the_narrowed_pattern_fits_what_fits_both(subject: list[str], one: str, other: str) -> None:
    common = intersect_subjects(one, other)
    both = fits(subject, one) and fits(subject, other)
    assert (common is not None and fits(subject, common)) == both


@pytest.mark.parametrize(
    ("wanted", "held", "common"),
    [
        ("io.pocwhisp.>", "io.pocwhisp.>", "io.pocwhisp.>"),
        ("io.pocwhisp.>", f"{TYPE}.>", f"{TYPE}.>"),
        ("io.pocwhisp.*.*.*.*.id", f"{TYPE}.>", f"{TYPE}.*.id"),
        ("io.pocwhisp.>", "default.received._knative", None),
    ],
)
def test_a_filter_lies_within_the_subjects_of_its_stream(
    wanted: str, held: str, common: str | None
) -> None:
    assert intersect_subjects(wanted, held) == common


@pytest.mark.parametrize("pattern", [None, TYPE, "recording.*", "*.completed", "recording.c*.v1"])
def test_a_pattern_fits_a_type_in_full_or_in_short(pattern: str | None) -> None:
    assert matches(TYPE, pattern)


@pytest.mark.parametrize("pattern", ["completed", "transcript.*", "recording"])
def test_a_pattern_fits_no_part_of_a_type(pattern: str) -> None:
    assert not matches(TYPE, pattern)
