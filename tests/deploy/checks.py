"""What must hold of every overlay. A check returns what it found wrong; nothing is well.

Each says one thing and leaves the rest to the others, so that one mistake is one finding
(test_mistakes.py). What is missing altogether is for the check that asks for it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from events import EVENTS
from tests.deploy.deployments import DEPLOYMENTS
from tests.deploy.durations import backoff_seconds, go_seconds, iso_seconds
from tests.deploy.rendering import Manifest, Rendered, annotation, container, environment
from tests.deploy.schemas import core_misfits, is_core

Check: TypeAlias = Callable[[Rendered], list[str]]
CHECKS: dict[str, Check] = {}

CEILING = 600
"""Knative's max-revision-timeout-seconds, which platform/base sets."""
OUTAGE = 3600
"""Seconds that a store may be away before an event is given up."""
WEEK = 7 * 24 * 3600
DELIVERY = {"retry", "timeout", "backoffPolicy", "backoffDelay"}
PUBLIC = {"ingest"}
VISIBILITY = "networking.knative.dev/visibility"
GPU = "nvidia.com/gpu"
SECRETS = {"pocwhisp-database", "pocwhisp-blobs"}
"""Made by the platform team; the kind overlay brings its own."""


def check(function: Check) -> Check:
    """Register a check under its name."""
    CHECKS[function.__name__] = function
    return function


@check
def delivery_outlasts_its_subscriber(rendered: Rendered) -> list[str]:
    """delivery.timeout > timeoutSeconds: else a second delivery starts beside the first."""
    return [
        f"{name}: {delivery['timeout']} is not more than {subscriber}'s {limit} s"
        for name, subscriber, delivery in deliveries(rendered)
        if "timeout" in delivery
        and (limit := revision(rendered.services[subscriber])["timeoutSeconds"])
        >= iso_seconds(delivery["timeout"])
    ]


@check
def one_timeout_within_knatives_ceiling(rendered: Rendered) -> list[str]:
    """timeoutSeconds = responseStartTimeoutSeconds <= 600; left out, the latter would be 300."""
    found = []
    for name, service in rendered.services.items():
        whole = revision(service).get("timeoutSeconds")
        start = revision(service).get("responseStartTimeoutSeconds")
        if whole is None or whole != start or whole > CEILING:
            found.append(f"{name}: timeoutSeconds {whole}, responseStartTimeoutSeconds {start}")
    return found


@check
def in_flight_fits_every_subscriber(rendered: Rendered) -> list[str]:
    """maxAckPending <= max-scale x containerConcurrency of every subscriber of the channel.

    Stricter: all channels of one subscriber together, because they are pushed at the same time.
    """
    pushed: dict[str, dict[str, float]] = defaultdict(dict)
    for name, subscription in rendered.subscriptions.items():
        channel = subscription["spec"]["channel"]["name"]
        pushed[subscriber_of(subscription)][channel] = pending(rendered, channel, name)
    return [
        f"{subscriber}: {sum(channels.values())} in flight, room for {room}"
        for subscriber, channels in pushed.items()
        if sum(channels.values()) > (room := capacity(rendered.services[subscriber]))
    ]


@check
def delivery_says_all_four(rendered: Rendered) -> list[str]:
    """Without a policy or a delay, eventing-natss crashes at the first failure."""
    return [
        f"{name}: no {', '.join(sorted(missing))}"
        for name, _, delivery in deliveries(rendered)
        if (missing := DELIVERY - delivery.keys())
    ]


@check
def every_consumer_and_type_has_one_subscription(rendered: Rendered) -> list[str]:
    """As one machine has them, transcribe once per channel, and none besides."""
    wanted: Counter[tuple[str, str | None]] = Counter(
        (deployment.name, event.type) for deployment in DEPLOYMENTS for event in deployment.accepts
    )
    types = {name: type_of(channel) for name, channel in rendered.channels.items()}
    found: Counter[tuple[str, str | None]] = Counter(
        (subscriber_of(subscription), types.get(subscription["spec"]["channel"]["name"]))
        for subscription in rendered.subscriptions.values()
    )
    return [
        f"{pair}: {found[pair]} Subscriptions instead of {wanted[pair]}"
        for pair in sorted(wanted | found, key=str)
        if found[pair] != wanted[pair]
    ]


@check
def every_type_has_one_channel(rendered: Rendered) -> list[str]:
    """The type's subject is in additionalSubjects of exactly one channel."""
    kept = Counter(subject for c in rendered.channels.values() for subject in subjects(c))
    return [f"{t}: {kept[f'{t}.>']} channels" for t in EVENTS if kept[f"{t}.>"] != 1]


@check
def no_two_streams_share_a_subject(rendered: Rendered) -> list[str]:
    """JetStream refuses a stream whose subjects overlap another's."""
    kept = [(name, s) for name, c in rendered.channels.items() for s in subjects(c)]
    return [
        f"{one}: {a} overlaps {b} of {other}"
        for place, (one, a) in enumerate(kept)
        for other, b in kept[place + 1 :]
        if overlap(a.split("."), b.split("."))
    ]


@check
def streams_keep_a_week_on_disk(rendered: Rendered) -> list[str]:
    """A consumer's ack must not remove an event, and nothing but age may."""
    found = []
    for name, channel in rendered.channels.items():
        config = channel["spec"]["stream"]["config"]
        kept = (config.get("retention"), config.get("storage"), config.get("discard", "Old"))
        if kept != ("Limits", "File", "Old") or go_seconds(config.get("maxAge", "0s")) != WEEK:
            found.append(f"{name}: {config}")
    return found


@check
def a_function_is_told_its_concurrency(rendered: Rendered) -> list[str]:
    """CONCURRENCY = containerConcurrency wherever the function reads it."""
    told = {deployment.name for deployment in DEPLOYMENTS if deployment.concurrency}
    found = []
    for name, service in rendered.services.items():
        limit = revision(service).get("containerConcurrency", 0)
        says = environment(container(service)).get("CONCURRENCY")
        if limit < 1 or says != (str(limit) if name in told else None):
            found.append(f"{name}: CONCURRENCY {says}, containerConcurrency {limit}")
    return found


@check
def dead_letters_reach_persist(rendered: Rendered) -> list[str]:
    """A dead event keeps its type: the path tells persist what it is."""
    persist = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "persist"}
    return [
        f"{name}: {delivery.get('deadLetterSink')}"
        for name, _, delivery in deliveries(rendered)
        if delivery.get("deadLetterSink") != {"ref": persist, "uri": "/parked"}
    ]


@check
def an_outage_is_outlived(rendered: Rendered) -> list[str]:
    """The waits between all retries sum up to an hour at least."""
    return [
        f"{name}: given up after {lasts} s"
        for name, _, delivery in deliveries(rendered)
        if delivery.keys() >= DELIVERY
        and (
            (lasts := backoff_seconds(delivery["retry"], iso_seconds(delivery["backoffDelay"])))
            < OUTAGE
            or delivery["backoffPolicy"] != "exponential"
        )
    ]


@check
def only_ingest_is_public(rendered: Rendered) -> list[str]:
    """All others have Knative's label for inside the cluster."""
    return [
        f"{name} is {'public' if public else 'cluster-local'}"
        for name, service in rendered.services.items()
        if (public := service["metadata"].get("labels", {}).get(VISIBILITY) != "cluster-local")
        != (name in PUBLIC)
    ]


@check
def annotations_and_labels_are_strings(rendered: Rendered) -> list[str]:
    """Knative's webhook refuses any other, and YAML makes numbers of unquoted ones."""
    return [
        f"{manifest['metadata']['name']}: {name} is {value!r}"
        for manifest in rendered.manifests
        for metadata in metadatas(manifest)
        for part in ("annotations", "labels")
        for name, value in metadata.get(part, {}).items()
        if not isinstance(value, str)
    ]


@check
def every_service_scales_to_zero(rendered: Rendered) -> list[str]:
    """And to a number that is said: without max-scale there would be no end."""
    return [
        f"{name}: min-scale {low}, max-scale {high}"
        for name, service in rendered.services.items()
        if (low := annotation(service, "min-scale")) != "0"
        or int(high := annotation(service, "max-scale") or 0) < 1
    ]


@check
def every_deployment_has_its_service(rendered: Rendered) -> list[str]:
    """As on one machine, transcribe once per channel; told the same, from the function's image."""
    wanted = {deployment.name: deployment for deployment in DEPLOYMENTS}
    found = [f"{name}" for name in sorted(wanted.keys() ^ rendered.services.keys())]
    for name in wanted.keys() & rendered.services.keys():
        served = container(rendered.services[name])
        told = environment(served)
        function = wanted[name].module.split(".")[1]
        if not wanted[name].env.items() <= told.items():
            found.append(f"{name} is told {told}")
        if function not in str(served["image"]).split("-"):
            found.append(f"{name} runs {served['image']}")
    return found


@check
def every_service_is_probed(rendered: Rendered) -> list[str]:
    """At the paths its function answers."""
    ready = {deployment.name: deployment.ready for deployment in DEPLOYMENTS}
    found = []
    for name, service in rendered.services.items():
        alive = "/api/v1/live" if name in PUBLIC else "/alive"
        for probe, path in (("readinessProbe", ready.get(name)), ("livenessProbe", alive)):
            asked = container(service).get(probe, {}).get("httpGet", {}).get("path")
            if asked != path:
                found.append(f"{name}: {probe} asks {asked}")
    return found


@check
def images_are_built_or_pinned(rendered: Rendered) -> list[str]:
    """Ours are artifacts of skaffold.yaml and have no tag of their own; others name a version."""
    found = []
    for name, _, running in rendered.pods:
        image = running["image"]
        version = image.partition(":")[2]
        if image not in rendered.artifacts and version in {"", "latest"}:
            found.append(f"{name}: {image}")
    return found


@check
def gpus_are_asked_for_and_found(rendered: Rendered) -> list[str]:
    """In gpu, transcribe has a limit, a selector and a toleration; nowhere else is a GPU held."""
    found = []
    for name, service in rendered.services.items():
        pod, held = revision(service), container(service)
        limit = held["resources"].get("limits", {}).get(GPU)
        selected = f"{GPU}.present" in pod.get("nodeSelector", {})
        tolerated = any(entry.get("key") == GPU for entry in pod.get("tolerations", []))
        built = held["image"].endswith("-gpu")
        wanted = rendered.overlay == "gpu" and name.startswith("transcribe-")
        if {limit is not None, selected, tolerated, built} != {wanted}:
            found.append(
                f"{name}: limit {limit}, selected {selected}, tolerated {tolerated}, gpu {built}"
            )
    return found


@check
def pods_have_no_power(rendered: Rendered) -> list[str]:
    """What Kubernetes' "restricted" asks for, and a root file system that cannot be written."""
    wanted = {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    found = []
    for name, pod, running in rendered.pods:
        writable = {v["name"] for v in pod.get("volumes", []) if "emptyDir" in v}
        mounted = {m["name"] for m in running["volumeMounts"] if m["mountPath"] == "/tmp"}  # noqa: S108
        if running.get("securityContext") != wanted or not mounted & writable:
            found.append(f"{name}: {running.get('securityContext')}, /tmp from {mounted}")
    return found


@check
def every_pod_says_what_it_takes(rendered: Rendered) -> list[str]:
    """Requests for the scheduler, and a limit to memory, so that one call cannot take a node."""
    return [
        f"{name}: {resources}"
        for name, _, running in rendered.pods
        if not {"cpu", "memory"} <= (resources := running["resources"]).get("requests", {}).keys()
        or "memory" not in resources.get("limits", {})
    ]


@check
def references_are_met(rendered: Rendered) -> list[str]:
    """Whatever a manifest names is among the manifests, or made by the platform team."""
    there = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in rendered.manifests}
    there |= {("Secret", name) for name in SECRETS}
    return [f"{kind} {name} is missing" for kind, name in references(rendered) - there]


@check
def core_kinds_fit_kubernetes(rendered: Rendered) -> list[str]:
    """Strictly: a field that Kubernetes does not know is a mistake."""
    return [
        f"{manifest['kind']} {manifest['metadata']['name']}: {message}"
        for manifest in rendered.manifests
        if is_core(manifest)
        for message in core_misfits(manifest)
    ]


@check
def the_run_id_stays_off_revisions(rendered: Rendered) -> list[str]:
    """Skaffold labels a Knative Service but not its template, and still sets its images.

    Its own rule for the kind has labels everywhere; a `deny` would take the images with it.
    """
    selector = rendered.skaffold.get("resourceSelector", {})
    kind = "Service.serving.knative.dev"
    allowed = {entry["groupKind"]: entry for entry in selector.get("allow", [])}.get(kind, {})
    denied = [entry for entry in selector.get("deny", []) if entry["groupKind"] == kind]
    kept = (allowed.get("labels"), allowed.get("image"), denied)
    return [] if kept == ([".metadata.labels"], [".*"], []) else [str(selector)]


def deliveries(rendered: Rendered) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, subscriber and delivery of every Subscription."""
    for name, subscription in rendered.subscriptions.items():
        yield name, subscriber_of(subscription), subscription["spec"].get("delivery", {})


def subscriber_of(subscription: Manifest) -> str:
    return str(subscription["spec"]["subscriber"]["ref"]["name"])


def revision(service: Manifest) -> Manifest:
    spec: Manifest = service["spec"]["template"]["spec"]
    return spec


def capacity(service: Manifest) -> int:
    """Events a Service works on at once at full scale."""
    return int(annotation(service, "max-scale") or 0) * int(
        revision(service).get("containerConcurrency", 0)
    )


def pending(rendered: Rendered, channel: str, subscription: str) -> float:
    """The channel's maxAckPending; unsaid, JetStream's default is more than anything has room for.

    A Subscription to a channel that is not there is for another check.
    """
    if channel not in rendered.channels:
        return 0
    template = rendered.channels[channel]["spec"].get("consumerConfigTemplate", {})
    assert isinstance(template, dict), subscription
    return float(template.get("maxAckPending", "inf"))


def subjects(channel: Manifest) -> list[str]:
    found: list[str] = channel["spec"]["stream"]["config"].get("additionalSubjects", [])
    return found


def type_of(channel: Manifest) -> str | None:
    """The type of event that the channel keeps."""
    return next((t for t in EVENTS if f"{t}.>" in subjects(channel)), None)


def overlap(one: list[str], other: list[str]) -> bool:
    """Whether a NATS subject can match both filters, given as tokens."""
    if not one or not other:
        return one == other
    if ">" in (one[0], other[0]):
        return True
    return (one[0] == other[0] or "*" in (one[0], other[0])) and overlap(one[1:], other[1:])


def metadatas(manifest: Manifest) -> Iterator[Manifest]:
    """The metadata of the manifest and of the template in it."""
    yield manifest["metadata"]
    yield manifest.get("spec", {}).get("template", {}).get("metadata", {})


def references(rendered: Rendered) -> set[tuple[str, str]]:
    """Kind and name of everything that a manifest names."""
    found = set()
    for manifest in rendered.manifests:
        found |= set(named(manifest.get("spec", {})))
    return found


def named(part: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any part of a manifest
    """Walk a manifest for the shapes in which one object names another."""
    if isinstance(part, list):
        for entry in part:
            yield from named(entry)
    elif isinstance(part, dict):
        if {"kind", "name"} <= part.keys():
            yield part["kind"], part["name"]
        for key, value in part.items():
            if key in {"configMapRef", "configMap"}:
                yield "ConfigMap", value["name"]
            elif key in {"secretRef", "secretKeyRef"}:
                yield "Secret", value["name"]
            else:
                yield from named(value)
