"""What lies around the overlays: Knative's own settings, the images, the wait after a deploy."""

import re
import subprocess
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.deploy.checks import CEILING, revision
from tests.deploy.durations import backoff_seconds, go_seconds, iso_seconds
from tests.deploy.rendering import KNATIVE, PLATFORMS, ROOT, Rendered, group_of, kustomize, rendered
from tests.deploy.schemas import core_misfits

FLAGS = {
    "nodeSelector": "kubernetes.podspec-nodeselector",
    "tolerations": "kubernetes.podspec-tolerations",
    "persistentVolumeClaim": "kubernetes.podspec-persistent-volume-claim",
}
"""Fields of a pod that Knative refuses unless the flag is on (knative/serving, features.go)."""
FREE = {"containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds", "containers"}
PROFILE = {"kind": "kind", "cpu": "base", "gpu": "gpu"}


def settings(platform: str) -> dict[tuple[str, str], dict[str, str]]:
    """The ConfigMaps for Knative, by namespace and name."""
    return {
        (manifest["metadata"]["namespace"], manifest["metadata"]["name"]): manifest["data"]
        for manifest in kustomize(KNATIVE / "platform" / platform)
    }


def flags_needed(overlay: Rendered) -> set[str]:
    """The feature flags without which Knative refuses a Service of the overlay."""
    fields: set[str] = set()
    for service in overlay.services.values():
        fields |= revision(service).keys() - FREE - {"volumes"}
        for volume in revision(service)["volumes"]:
            fields |= volume.keys() - {"name", "emptyDir"}
    return {FLAGS.get(field, f"the flag of {field}") for field in fields}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_platforms_settings_are_config_maps(platform: str) -> None:
    manifests = kustomize(KNATIVE / "platform" / platform)
    assert {manifest["kind"] for manifest in manifests} == {"ConfigMap"}
    assert not [misfit for manifest in manifests for misfit in core_misfits(manifest)]


def test_the_platform_turns_on_exactly_the_features_that_are_used(overlay: Rendered) -> None:
    features = settings(PROFILE[overlay.overlay]).get(("knative-serving", "config-features"), {})
    assert {name for name, state in features.items() if state == "enabled"} == flags_needed(overlay)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_eventing_natss_goes_on_reconnecting_for_days(platform: str) -> None:
    """With less than none it ends at the first disconnect (its pkg/common/nats/conn.go)."""
    nats = settings(platform).get(("knative-eventing", "config-nats"))
    if nats is None:
        assert platform != "kind"
        return
    options = yaml.safe_load(nats["eventing-nats"])["connOpts"]
    waited = options["maxReconnects"] * options["reconnectWaitMilliseconds"] / 1_000
    assert waited > timedelta(days=7).total_seconds()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_platform_allows_the_timeouts_that_are_used(platform: str) -> None:
    knative = settings(platform)
    defaults = knative["knative-serving", "config-defaults"]
    assert defaults["max-revision-timeout-seconds"] == str(CEILING)
    assert knative["knative-eventing", "config-features"]["delivery-timeout"] == "enabled"


def test_every_image_carries_a_function_that_has_an_extra(overlay: Rendered) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for image, artifact in overlay.artifacts.items():
        function = artifact["docker"].get("buildArgs", {}).get("FUNCTION", "transcribe-gpu")
        assert image == f"pocwhisp-{function}"
        assert function.removesuffix("-cpu").removesuffix("-gpu") in extras


def test_every_artifact_is_deployed(overlay: Rendered) -> None:
    assert overlay.artifacts.keys() <= {running["image"] for _, _, running in overlay.pods}


@pytest.mark.parametrize(
    "name", ["Dockerfile", "dispatcher.Dockerfile", "transcribe-gpu.Dockerfile"]
)
def test_images_end_without_root_and_without_build_tools(name: str) -> None:
    last = final_stage(ROOT / "infra" / "docker" / name)
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in last
    assert not re.search(r"pip install|apt-get|gcc|build-essential", last)


def final_stage(dockerfile: Path) -> str:
    return re.split(r"^FROM ", dockerfile.read_text(), flags=re.MULTILINE)[-1]


def test_the_wait_after_a_deploy_knows_every_kind_of_knatives(overlay: Rendered) -> None:
    script = KNATIVE / "wait.sh"
    subprocess.run(["sh", "-n", str(script)], check=True)  # noqa: S607 - every machine's own
    waited = set(re.findall(r"condition=Ready (\S+)", script.read_text()))
    assert waited == {
        f"{manifest['kind'].lower()}s.{group_of(manifest)}"
        for manifest in overlay.manifests
        if group_of(manifest).endswith("knative.dev")
    }


@pytest.mark.parametrize(("text", "seconds"), [("PT1S", 1), ("PT10M5S", 605), ("PT2H", 7200)])
def test_iso_durations_are_read(text: str, seconds: int) -> None:
    assert iso_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "PT", "10m", "P1D"])
def test_what_is_no_iso_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Not a duration"):
        iso_seconds(text)


def test_go_durations_are_read() -> None:
    assert go_seconds("168h") == 7 * 24 * 3600
    with pytest.raises(ValueError, match="Not a duration"):
        go_seconds("7d")


def test_backoff_doubles_before_every_retry_without_a_cap() -> None:
    assert backoff_seconds(3, 1) == 2 + 4 + 8
    assert backoff_seconds(11, 1) == 4094


def test_what_differs_between_cpu_and_gpu_is_transcribe_and_what_it_takes_in() -> None:
    cpu, gpu = rendered("cpu"), rendered("gpu")
    differ = {
        manifest["metadata"]["name"]
        for manifest, other in zip(cpu.manifests, gpu.manifests, strict=True)
        if manifest != other
    }
    assert differ == {"transcribe-left", "transcribe-right", "recording-split-v1", "persist"}
