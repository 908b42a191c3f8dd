import re

import pytest

from shared.telemetry import next_traceparent, trace_id

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("received", "flags"),
    [
        (f"00-{TRACE}-{SPAN}-01", "01"),
        (f"00-{TRACE}-{SPAN}-00", "00"),
        (f"00-{TRACE}-{SPAN}-ff", "03"),
        (f"01-{TRACE}-{SPAN}-01", "01"),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", "01"),
    ],
)
def test_a_trace_goes_on_with_a_new_span(received: str, flags: str) -> None:
    version, trace, span, sent = next_traceparent(received).split("-")
    assert (version, trace, sent) == ("00", TRACE, flags)
    assert re.fullmatch("[0-9a-f]{16}", span)
    assert span != SPAN
    assert trace_id(received) == TRACE


@pytest.mark.parametrize(
    "received",
    [
        None,
        "",
        "hello",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"0-{TRACE}-{SPAN}-01",
    ],
)
def test_what_is_no_trace_begins_one(received: str | None) -> None:
    version, trace, _, flags = next_traceparent(received).split("-")
    assert (version, flags) == ("00", "01")
    assert trace not in {TRACE, "0" * 32}
    assert trace_id(received) is None
