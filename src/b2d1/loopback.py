"""Whether an address is this machine's own, and nothing listens there."""

import ipaddress
import urllib.parse

NOTHING_LISTENS = (
    "Nothing listens there ({}). If this is the sandbox: make sandbox prints new lines at each start, paste "
    "them again."
)


def is_this_machine(host: str) -> bool:
    """Tell a name or an address of this machine's."""
    # host.docker.internal is how a container (`sam local invoke`) names the machine it runs on.
    if host in {"localhost", "host.docker.internal"}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hint_of_silence(url: str, setting: str, failure: BaseException, otherwise: str) -> str:
    """Choose the hint for a failure to get an answer from the address in a setting."""
    cause: BaseException | None = failure
    while cause and not isinstance(cause, ConnectionRefusedError):
        cause = cause.__cause__ or cause.__context__
    refused_here = cause and is_this_machine(urllib.parse.urlsplit(url).hostname or "")
    return NOTHING_LISTENS.format(setting) if refused_here else otherwise
