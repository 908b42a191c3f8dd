"""What the tests of the deployment share."""

import pytest

from tests.deploy.rendering import OVERLAYS, Rendered, rendered
from tests.deploy.schemas import Published, folder


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Rendered:
    """Every overlay in turn, as it is committed."""
    return rendered(request.param)


@pytest.fixture
def published() -> Published:
    """The published schemas, or a skip that says where they would have to be."""
    if not folder().is_dir():
        pytest.skip(
            f"No schemas in {folder()}: `pytest tests/deploy --schemas DIR` (or POCWHISP_SCHEMAS) "
            "checks every manifest strictly against Knative's, eventing-natss's and Skaffold's."
        )
    return Published.load(folder())
