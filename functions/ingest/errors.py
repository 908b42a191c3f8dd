"""What ingest refuses."""

from shared.errors import Permanent


class Refused(Permanent):
    """The request cannot be served as it is. `code` is one of the API's error words."""
