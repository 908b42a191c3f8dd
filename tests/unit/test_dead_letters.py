from datetime import UTC, datetime

import pytest

from events import DeliveryParked, Envelope, Event
from functions.persist.dead_letters import DeadLetters, failed_function
from shared.cloudevent import IncomingEvent
from tests.support.examples import parked, transcribed

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
MERGE = "http://merge.pocwhisp.svc.cluster.local/"
PERSIST = "http://persist.pocwhisp.svc.cluster.local/"


def dead(event: Event, **extensions: str | int) -> IncomingEvent:
    """An event as the cluster's pusher sends it to the dead letters."""
    envelope = Envelope(event, "/pocwhisp/test", NOW, redrive=2).structured()
    data = envelope.pop("data")
    return IncomingEvent(envelope | extensions, data)


def replacement(event: Event, **extensions: str | int) -> Envelope[Event]:
    return DeadLetters(lambda: NOW).replacement_for(dead(event, **extensions))


def test_an_event_that_a_function_could_not_handle_is_parked() -> None:
    envelope = replacement(transcribed("left"), knativeerrordest=MERGE, knativeerrorcode=500)
    assert isinstance(envelope.data, DeliveryParked)
    assert envelope.data.function == "merge"
    assert (envelope.data.error_class, envelope.data.error_code) == ("exhausted", "http_500")
    assert envelope.data.original_id == envelope.causationid == transcribed("left").event_id
    assert (envelope.redrive, envelope.data.series) == (2, 3)


def test_an_outage_is_no_failed_call_but_a_new_series() -> None:
    envelope = replacement(transcribed("left"), knativeerrordest=MERGE, knativeerrorcode="503")
    assert envelope.data == transcribed("left")
    assert envelope.message_id == f"{transcribed('left').event_id}.3"


@pytest.mark.parametrize("event", [transcribed("right"), parked()])
def test_what_persist_could_not_write_is_sent_to_it_again(event: Event) -> None:
    envelope = replacement(event, knativeerrordest=PERSIST, knativeerrorcode=500)
    assert (envelope.data, envelope.redrive) == (event, 3)


def test_an_event_without_knatives_marks_is_parked_all_the_same() -> None:
    data = replacement(transcribed("left")).data
    assert isinstance(data, DeliveryParked)
    assert (data.function, data.error_code) == ("unknown", "undeliverable")


@pytest.mark.parametrize(
    ("destination", "function"),
    [
        (MERGE, "merge"),
        ("http://transcribe-left.other-namespace/", "transcribe-left"),
        ("", "unknown"),
    ],
)
def test_the_function_is_told_by_its_host(destination: str, function: str) -> None:
    received = dead(transcribed("left"), knativeerrordest=destination)
    assert failed_function(received) == function
