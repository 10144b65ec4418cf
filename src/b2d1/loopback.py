"""Whether an address is this machine's own, and nothing listens there."""

import ipaddress
import math
import urllib.parse
from typing import NamedTuple

NOTHING_LISTENS = (
    "Nothing listens there ({}). If this is the sandbox: make sandbox prints new lines at each start, paste "
    "them again."
)
# How long (seconds) a connection that this machine refuses is tried again: a server that restarts is back
# by then, and one that has ended is not worth the wait.
PATIENCE = 3.0


class Silence(NamedTuple):
    """What to do about a service that does not answer, and how long (seconds) it is tried again."""

    hint: str
    patience: float


def is_this_machine(host: str) -> bool:
    """Tell a name or an address of this machine's."""
    # host.docker.internal is how a container (`sam local invoke`) names the machine it runs on.
    if host in {"localhost", "host.docker.internal"}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def interpret_silence(url: str, setting: str, failure: BaseException, otherwise: str) -> Silence:
    """Interpret a failure to get an answer from the address in a setting; `otherwise` is the usual hint."""
    cause: BaseException | None = failure
    while cause and not isinstance(cause, ConnectionRefusedError):
        cause = cause.__cause__ or cause.__context__
    if cause and is_this_machine(urllib.parse.urlsplit(url).hostname or ""):
        return Silence(NOTHING_LISTENS.format(setting), PATIENCE)
    return Silence(otherwise, math.inf)
