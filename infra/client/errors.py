"""What a server's answers, or the lack of one, mean to who asked."""


class ServerError(Exception):
    """It did not work; the message is for the user.

    ServerError
    ├── ServerAway   the server cannot be reached, is no PocWhisp, or says: not now
    └── Refused      the server will not take this input, now or later
    """


class ServerAway(ServerError):
    """The server cannot be reached, is no PocWhisp, or says that it cannot now."""


class Refused(ServerError):
    """The server will not take this; the message is the API's own."""
