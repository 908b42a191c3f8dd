"""Seeded mistakes: each, made alone, is found by the one check that is about it and by no other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from tests.deploy.checks import CHECKS, VISIBILITY, revision
from tests.deploy.rendering import Rendered, container, rendered
from tests.deploy.schemas import Published, folder

Change: TypeAlias = Callable[[Rendered], object]
SCHEMAS = Published.fits_the_published_schemas.__name__


@dataclass(frozen=True)
class Mistake:
    """A change to an overlay, and the check that must find it."""

    check: str
    overlay: str
    change: Change

    @property
    def name(self) -> str:
        return self.change.__name__


MISTAKES: list[Mistake] = []


def found_by(check: str, overlay: str = "cpu") -> Callable[[Change], Change]:
    """Seed a mistake; its function's name says what it is."""

    def seed(change: Change) -> Change:
        MISTAKES.append(Mistake(check, overlay, change))
        return change

    return seed


def delivery(r: Rendered, subscription: str) -> dict[str, Any]:
    fields: dict[str, Any] = r.subscriptions[subscription]["spec"]["delivery"]
    return fields


def annotations(r: Rendered, service: str) -> dict[str, Any]:
    found: dict[str, Any] = r.services[service]["spec"]["template"]["metadata"]["annotations"]
    return found


def stream(r: Rendered, channel: str) -> dict[str, Any]:
    config: dict[str, Any] = r.channels[channel]["spec"]["stream"]["config"]
    return config


def say(r: Rendered, service: str, name: str, value: str) -> None:
    for entry in container(r.services[service])["env"]:
        if entry["name"] == name:
            entry["value"] = value


@found_by("delivery_outlasts_its_subscriber")
def the_pusher_gives_up_when_knative_does(r: Rendered) -> None:
    delivery(r, "split--recording-received-v1")["timeout"] = "PT10M"


@found_by("one_timeout_within_knatives_ceiling")
def the_response_must_start_within_knatives_default(r: Rendered) -> None:
    del revision(r.services["split"])["responseStartTimeoutSeconds"]


@found_by("one_timeout_within_knatives_ceiling")
def a_timeout_is_above_knatives_ceiling(r: Rendered) -> None:
    for field in ("timeoutSeconds", "responseStartTimeoutSeconds"):
        revision(r.services["sweep"])[field] = 900


@found_by("in_flight_fits_every_subscriber")
def one_event_too_many_is_in_flight(r: Rendered) -> None:
    r.channels["recording-received-v1"]["spec"]["consumerConfigTemplate"]["maxAckPending"] += 1


@found_by("in_flight_fits_every_subscriber", "gpu")
def only_the_smaller_of_two_subscribers_has_too_little_room(r: Rendered) -> None:
    annotations(r, "transcribe-right")["autoscaling.knative.dev/max-scale"] = "3"


@found_by("in_flight_fits_every_subscriber")
def a_channel_does_not_bound_what_is_in_flight(r: Rendered) -> None:
    del r.channels["delivery-parked-v1"]["spec"]["consumerConfigTemplate"]


@found_by("delivery_says_all_four")
def a_delivery_has_no_backoff_delay(r: Rendered) -> None:
    del delivery(r, "merge--channel-transcribed-v1")["backoffDelay"]


@found_by("every_consumer_and_type_has_one_subscription")
def nobody_summarises(r: Rendered) -> None:
    r.manifests.remove(r.subscriptions["summarize--transcript-merged-v1"])


@found_by("every_consumer_and_type_has_one_subscription")
def merge_is_sent_every_event_twice(r: Rendered) -> None:
    again = Rendered(r.overlay, [r.subscriptions["merge--channel-transcribed-v1"]], {}).copy()
    again.manifests[0]["metadata"]["name"] = "merge-again"
    r.manifests.extend(again.manifests)


@found_by("every_type_has_one_channel")
def nobody_keeps_failed_recordings(r: Rendered) -> None:
    r.manifests.remove(r.channels["recording-failed-v1"])


@found_by("every_type_has_one_channel")
def the_channel_listens_to_no_subject_of_its_type(r: Rendered) -> None:
    stream(r, "recording-completed-v1")["additionalSubjects"] = ["io.pocwhisp.recording.done.v1.>"]


@found_by("no_two_streams_share_a_subject")
def a_second_stream_wants_a_part_of_the_first(r: Rendered) -> None:
    stream(r, "recording-failed-v1")["additionalSubjects"].append(
        "io.pocwhisp.recording.completed.v1.default.*"
    )


@found_by("streams_keep_a_week_on_disk")
def events_are_forgotten_once_they_are_consumed(r: Rendered) -> None:
    stream(r, "recording-split-v1")["retention"] = "Work"


@found_by("streams_keep_a_week_on_disk")
def events_are_kept_for_a_day(r: Rendered) -> None:
    stream(r, "recording-split-v1")["maxAge"] = "24h"


@found_by("a_function_is_told_its_concurrency")
def a_function_works_on_less_than_it_is_sent(r: Rendered) -> None:
    say(r, "merge", "CONCURRENCY", "4")


@found_by("dead_letters_reach_persist")
def dead_letters_arrive_as_if_alive(r: Rendered) -> None:
    del delivery(r, "split--recording-received-v1")["deadLetterSink"]["uri"]


@found_by("an_outage_is_outlived")
def an_outage_of_half_an_hour_is_too_long(r: Rendered) -> None:
    delivery(r, "persist--recording-split-v1")["retry"] = 10


@found_by("an_outage_is_outlived")
def waits_grow_too_slowly(r: Rendered) -> None:
    delivery(r, "persist--recording-split-v1")["backoffPolicy"] = "linear"


@found_by("only_ingest_is_public")
def the_world_can_post_events_to_merge(r: Rendered) -> None:
    del r.services["merge"]["metadata"]["labels"][VISIBILITY]


@found_by("only_ingest_is_public")
def nobody_can_reach_ingest(r: Rendered) -> None:
    r.services["ingest"]["metadata"]["labels"][VISIBILITY] = "cluster-local"


@found_by("annotations_and_labels_are_strings")
def a_label_lost_its_quotes(r: Rendered) -> None:
    r.channels["recording-split-v1"]["metadata"]["labels"]["app.kubernetes.io/version"] = 1.0


@found_by("every_service_scales_to_zero", "gpu")
def a_gpu_is_held_for_nothing(r: Rendered) -> None:
    annotations(r, "transcribe-left")["autoscaling.knative.dev/min-scale"] = "1"


@found_by("every_deployment_has_its_service")
def the_left_channel_is_transcribed_by_nobody(r: Rendered) -> None:
    say(r, "transcribe-left", "CHANNEL", "right")


@found_by("every_deployment_has_its_service")
def the_sweep_is_a_second_persist(r: Rendered) -> None:
    say(r, "sweep", "FUNCTION_TARGET", "handle")


@found_by("every_service_is_probed")
def a_probe_asks_at_a_path_that_is_not_there(r: Rendered) -> None:
    container(r.services["merge"])["readinessProbe"]["httpGet"]["path"] = "/healthz"


@found_by("images_are_built_or_pinned")
def nobody_builds_an_image(r: Rendered) -> None:
    container(r.services["split"])["image"] = "pocwhisp-split-v2"


@found_by("images_are_built_or_pinned", "kind")
def a_store_floats_with_its_latest_release(r: Rendered) -> None:
    r.of("StatefulSet", "apps")["nats"]["spec"]["template"]["spec"]["containers"][0]["image"] = (
        "nats:latest"
    )


@found_by("gpus_are_asked_for_and_found", "gpu")
def the_gpu_nodes_taint_is_not_tolerated(r: Rendered) -> None:
    del revision(r.services["transcribe-left"])["tolerations"]


@found_by("gpus_are_asked_for_and_found", "gpu")
def no_gpu_is_asked_for(r: Rendered) -> None:
    del container(r.services["transcribe-right"])["resources"]["limits"]["nvidia.com/gpu"]


@found_by("pods_have_no_power")
def a_root_file_system_can_be_written(r: Rendered) -> None:
    container(r.services["persist"])["securityContext"]["readOnlyRootFilesystem"] = False


@found_by("every_pod_says_what_it_takes")
def one_call_may_take_a_whole_node(r: Rendered) -> None:
    del container(r.services["split"])["resources"]["limits"]["memory"]


@found_by("references_are_met")
def ticks_go_to_a_service_that_is_not_there(r: Rendered) -> None:
    source = r.of("PingSource", "sources.knative.dev")["sweep"]
    source["spec"]["sink"]["ref"]["name"] = "sweeper"


@found_by("references_are_met")
def settings_are_read_from_under_an_old_name(r: Rendered) -> None:
    container(r.services["merge"])["envFrom"][0]["configMapRef"]["name"] = "pocwhisp-settings"


@found_by("the_run_id_stays_off_revisions")
def skaffold_labels_every_template(r: Rendered) -> None:
    del r.skaffold["resourceSelector"]


@found_by(SCHEMAS)
def a_field_of_a_delivery_is_misspelt(r: Rendered) -> None:
    delivery(r, "split--recording-received-v1")["retryAfterMaximum"] = "PT30S"


@found_by(SCHEMAS)
def a_field_of_a_service_is_misspelt(r: Rendered) -> None:
    revision(r.services["split"])["idleTimeoutSecond"] = 60


@found_by(SCHEMAS)
def a_field_of_a_stream_is_misspelt(r: Rendered) -> None:
    stream(r, "recording-split-v1")["maxMessages"] = 1000


@found_by("core_kinds_fit_kubernetes")
def a_field_of_a_core_kind_is_misspelt(r: Rendered) -> None:
    r.of("Job", "batch")["migrate"]["spec"]["backOffLimit"] = 3


@found_by(SCHEMAS)
def a_field_of_skaffolds_is_misspelt(r: Rendered) -> None:
    r.skaffold["build"]["artifacts"][0]["docker"]["buildArguments"] = {}


@found_by(SCHEMAS)
def a_count_is_no_whole_number(r: Rendered) -> None:
    revision(r.services["sweep"])["containerConcurrency"] = 1.5


def findings(r: Rendered, published: Published | None) -> set[str]:
    """The names of all checks that find something."""
    found = {name for name, check in CHECKS.items() if check(r)}
    return found | ({SCHEMAS} if published and published.fits_the_published_schemas(r) else set())


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_found_by_its_own_check_alone(
    mistake: Mistake, request: pytest.FixtureRequest
) -> None:
    published: Published | None = None
    if folder().is_dir() or mistake.check == SCHEMAS:
        published = request.getfixturevalue("published")
    changed = rendered(mistake.overlay).copy()
    mistake.change(changed)
    assert findings(changed, published) == {mistake.check}


def test_every_check_has_a_mistake_that_it_finds() -> None:
    assert {mistake.check for mistake in MISTAKES} == {*CHECKS, SCHEMAS}
