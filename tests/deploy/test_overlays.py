"""Every overlay renders, fits the published schemas, and keeps the promises of delivery."""

from tests.deploy import checks
from tests.deploy.rendering import Rendered
from tests.deploy.schemas import Published


def test_every_manifest_fits_its_published_schema(overlay: Rendered, published: Published) -> None:
    assert not published.fits_the_published_schemas(overlay)


def test_core_kinds_fit_what_kubernetes_publishes(overlay: Rendered) -> None:
    assert not checks.core_kinds_fit_kubernetes(overlay)


def test_knative_gives_a_delivery_up_before_the_pusher_does(overlay: Rendered) -> None:
    assert not checks.delivery_outlasts_its_subscriber(overlay)


def test_response_may_start_as_late_as_the_whole_timeout(overlay: Rendered) -> None:
    assert not checks.one_timeout_within_knatives_ceiling(overlay)


def test_no_more_is_in_flight_than_every_subscriber_has_room_for(overlay: Rendered) -> None:
    assert not checks.in_flight_fits_every_subscriber(overlay)


def test_every_delivery_says_all_four_fields(overlay: Rendered) -> None:
    assert not checks.delivery_says_all_four(overlay)


def test_every_consumer_and_type_has_exactly_one_subscription(overlay: Rendered) -> None:
    assert not checks.every_consumer_and_type_has_one_subscription(overlay)


def test_every_type_of_event_has_exactly_one_channel(overlay: Rendered) -> None:
    assert not checks.every_type_has_one_channel(overlay)


def test_no_two_streams_share_a_subject(overlay: Rendered) -> None:
    assert not checks.no_two_streams_share_a_subject(overlay)


def test_streams_keep_events_for_a_week_on_disk(overlay: Rendered) -> None:
    assert not checks.streams_keep_a_week_on_disk(overlay)


def test_a_function_works_on_as_much_as_knative_sends_it(overlay: Rendered) -> None:
    assert not checks.a_function_is_told_its_concurrency(overlay)


def test_dead_letters_reach_persist_at_parked(overlay: Rendered) -> None:
    assert not checks.dead_letters_reach_persist(overlay)


def test_an_outage_of_an_hour_is_outlived(overlay: Rendered) -> None:
    assert not checks.an_outage_is_outlived(overlay)


def test_only_ingest_is_reachable_from_outside(overlay: Rendered) -> None:
    assert not checks.only_ingest_is_public(overlay)


def test_annotations_and_labels_are_strings(overlay: Rendered) -> None:
    assert not checks.annotations_and_labels_are_strings(overlay)


def test_every_service_scales_to_zero_and_to_a_limit(overlay: Rendered) -> None:
    assert not checks.every_service_scales_to_zero(overlay)


def test_the_cluster_runs_the_deployments_of_one_machine(overlay: Rendered) -> None:
    assert not checks.every_deployment_has_its_service(overlay)


def test_every_service_is_probed_where_it_answers(overlay: Rendered) -> None:
    assert not checks.every_service_is_probed(overlay)


def test_every_image_is_built_by_skaffold_or_names_its_version(overlay: Rendered) -> None:
    assert not checks.images_are_built_or_pinned(overlay)


def test_transcribe_alone_holds_gpus_and_in_the_gpu_overlay_alone(overlay: Rendered) -> None:
    assert not checks.gpus_are_asked_for_and_found(overlay)


def test_pods_have_no_more_power_than_they_need(overlay: Rendered) -> None:
    assert not checks.pods_have_no_power(overlay)


def test_every_pod_says_what_it_takes(overlay: Rendered) -> None:
    assert not checks.every_pod_says_what_it_takes(overlay)


def test_everything_that_is_referred_to_is_there(overlay: Rendered) -> None:
    assert not checks.references_are_met(overlay)


def test_a_deploy_without_changes_makes_no_revision(overlay: Rendered) -> None:
    assert not checks.the_run_id_stays_off_revisions(overlay)
