"""URLs as messages may show them."""

import re

USER_INFO = re.compile(r"(^|//)[^/]*@")


def without_password(url: object) -> str:
    """Return the URL without the user and password before its host."""
    return USER_INFO.sub(r"\1", str(url))
