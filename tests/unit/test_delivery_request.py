"""Events as HTTP requests: CloudEvents HTTP binding, section 3.1."""

import json

import pytest
from cloudevents.http import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from infra.dispatcher.delivery_request import DeliveryRequest


def posted(data: object = None, **attributes: str) -> DeliveryRequest:
    event = {"specversion": "1.0", "id": "1", "type": "t", "source": "/s", **attributes}
    return DeliveryRequest.from_structured(json.dumps({**event, "data": data}).encode())


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("plain-text/1.0~", "plain-text/1.0~"),
        ('a "quoted" word', "a%20%22quoted%22%20word"),
        ("100%", "100%25"),
        ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("two\r\nlines: 1", "two%0D%0Alines:%201"),
    ],
)
def test_an_attribute_is_percent_encoded_as_the_binding_says(text: str, encoded: str) -> None:
    assert posted(subject=text).headers["ce-subject"] == encoded


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_no_attribute_breaks_a_header(text: str) -> None:
    header = posted(subject=text).headers["ce-subject"]
    assert all(0x21 <= ord(character) <= 0x7E and character != '"' for character in header)


@pytest.mark.parametrize("name", ["two words", "x:y", "é", "line\nfeed", "a" * 65])
def test_what_is_no_name_of_an_attribute_is_no_event(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        posted(**{name: "x"})


@pytest.mark.parametrize(
    ("data", "seconds"), [({"duration": 12.5}, 12.5), ({"duration": "12"}, 0), ({}, 0), ([1], 0)]
)
def test_the_length_of_the_recording_is_read_from_the_data(data: object, seconds: float) -> None:
    assert posted(data).audio_seconds == seconds


def test_an_event_without_data_has_an_empty_body() -> None:
    tick = CloudEvent.create({"id": "1", "type": "t", "source": "/s"}, None)
    request = DeliveryRequest.from_event(tick)
    assert request.body == b""
    assert request.headers["content-type"] == "application/json"
    assert request.headers["prefer"] == "reply"
