"""A request over HTTP and its answer, read within bounds; nothing of the surroundings has a say in it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import requests
import urllib3

from b2d1 import __version__
from b2d1.retry import Deadline

CONNECT_TIMEOUT = 5.0
PART_BYTES = 65_536
# What comes instead of an answer.
NO_ANSWER = (requests.RequestException, urllib3.exceptions.HTTPError)


class TooLargeError(Exception):
    """More came than an answer may weigh."""


class Exchanged(NamedTuple):
    """The answer to a request."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Session(requests.Session):
    """Connections that are kept; a redirect is an answer as any other."""

    def __init__(self, ca_bundle: str | None) -> None:
        super().__init__()
        # ~/.netrc would replace a credential, and proxies and certificates come from the environment too.
        self.trust_env = False
        self.verify = ca_bundle or True
        self.headers["User-Agent"] = f"b2d1/{__version__}"

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find none: even to pass a redirect over, requests would read its body whole."""
        del resp

    def exchange(
        self, method: str, url: str, deadline: Deadline, *, longest: float, most: int, **kwargs: Any
    ) -> Exchanged:
        """Make a request; `longest` bounds the whole answer in seconds, `most` in bytes.

        Raises one of NO_ANSWER, or TooLargeError. What else is given, requests takes.
        """
        within, began = deadline.timeout(longest), deadline.clock()
        timeout = (min(CONNECT_TIMEOUT, within), within)
        with self.request(
            method, url, timeout=timeout, allow_redirects=False, stream=True, **kwargs
        ) as response:
            content = b""
            # read1 returns what has come: a read of so many bytes would wait for all of them.
            while part := response.raw.read1(PART_BYTES, decode_content=True):
                content += part
                if len(content) > most:
                    raise TooLargeError
                # A read time-out bounds the wait for the next byte only; this bounds the whole answer.
                if deadline.clock() - began > within:
                    raise requests.Timeout("the answer takes too long")
            return Exchanged(response.status_code, response.headers, content)
