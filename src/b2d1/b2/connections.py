"""Connections to B2 that can be cut by another thread than the one that waits for an answer."""

import socket
import threading
import weakref
from contextlib import suppress
from typing import Any

from botocore.httpsession import URLLib3Session


class Connections:
    """The connections that a session makes from now on; `cut` ends what other threads wait for on them."""

    def __init__(self, session: URLLib3Session) -> None:
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()
        # botocore closes only connections that wait in its pool, not those that are waited for.
        manager: Any = session._manager  # type: ignore[attr-defined]  # noqa: SLF001
        manager.pool_classes_by_scheme = {
            scheme: self._followed(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
        }

    def cut(self) -> None:
        """Cut those that are open."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            if open_socket := connection.sock:
                with suppress(OSError):  # it is closed by now
                    # Not SSLSocket's own, which takes TLS away under the thread that reads.
                    socket.socket.shutdown(open_socket, socket.SHUT_RDWR)

    def _followed(self, pool: type[Any]) -> type[Any]:
        def new_connection(a_pool: Any) -> Any:
            connection = pool._new_conn(a_pool)  # noqa: SLF001
            with self._lock:
                self._connections.add(connection)
            return connection

        return type(pool.__name__, (pool,), {"_new_conn": new_connection})
