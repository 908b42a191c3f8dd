"""What the dispatcher is told about the deployments of one machine."""

import pytest

from infra.deployments import DEPLOYMENTS, Deployment, dispatcher_environment
from infra.dispatcher.settings import DispatchSettings, EventRoute, SweepSettings
from shared.delivery import DELIVERIES_PER_SLOT

PORTS = {deployment.name: 9000 + place for place, deployment in enumerate(DEPLOYMENTS)}


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> tuple[EventRoute, ...]:
    for name, text in dispatcher_environment(PORTS).items():
        monkeypatch.setenv(name, text)
    return DispatchSettings().routes


def test_each_event_goes_to_each_function_that_accepts_it(routes: tuple[EventRoute, ...]) -> None:
    assert {(route.function, route.type, route.url) for route in routes} == {
        (deployment.name, event.type, f"http://127.0.0.1:{PORTS[deployment.name]}/")
        for deployment in DEPLOYMENTS
        for event in deployment.accepts
    }


def test_each_consumer_has_a_name_of_its_own(routes: tuple[EventRoute, ...]) -> None:
    assert len({route.consumer for route in routes}) == len(routes)


def test_a_function_is_sent_as_many_events_at_once_as_it_handles(
    routes: tuple[EventRoute, ...],
) -> None:
    at_once = {route.function: route.in_flight for route in routes}
    assert at_once == {"split": 4, "transcribe": 8, "merge": 8, "summarize": 2, "persist": 1}


@pytest.mark.parametrize("deployment", [it for it in DEPLOYMENTS if it.accepts])
def test_all_that_is_in_flight_finds_room_in_the_function(deployment: Deployment) -> None:
    room = DELIVERIES_PER_SLOT * (deployment.concurrency or 1)
    assert deployment.in_flight * len(deployment.accepts) <= room


def test_the_clock_of_the_sweep_ticks_at_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in dispatcher_environment(PORTS).items():
        monkeypatch.setenv(name, text)
    assert SweepSettings().url == f"http://127.0.0.1:{PORTS['sweep']}/"


def test_alive_is_asked_at_the_function_whatever_path_its_events_are_posted_to() -> None:
    route = EventRoute(function="f", type="io.pocwhisp.a.b.v1", url="http://f.test:81/parked")
    assert route.alive_url == "http://f.test:81/alive"
