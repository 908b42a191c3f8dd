"""Errors of the client."""


class ServerError(Exception):
    """A request failed; the message is for the user.

    ServerError
    ├── ServerAway   the server cannot be reached, is no PocWhisp, or cannot answer now
    └── Rejected      the server does not accept this input
    """


class ServerAway(ServerError):
    """The server cannot be reached, is no PocWhisp, or cannot answer now."""


class Rejected(ServerError):
    """The server does not accept this input; the message is the API's own."""
