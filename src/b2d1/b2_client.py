"""boto3's client for B2: told by the settings alone, and with connections that can be cut."""

import os
import socket
import threading
import weakref
from contextlib import suppress
from typing import Any

import boto3.session
import botocore.session
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.loaders import Loader

from b2d1 import __version__
from b2d1.settings import B2Settings

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0


def b2_client(settings: B2Settings, most_connections: int) -> Any:
    """Make a client that neither ~/.aws nor an AWS_* variable of this process tells how to speak to B2."""
    unset = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    unset |= dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    unset |= dict.fromkeys(("s3", "proxies_config"), (None, None, None, None))
    session = botocore.session.Session(session_vars=unset)
    models = Loader([Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    session.register_component("data_loader", models)
    return boto3.session.Session(botocore_session=session).client(
        "s3",
        region_name=settings.region,
        endpoint_url=settings.endpoint,
        aws_access_key_id=settings.key_id.reveal(),
        aws_secret_access_key=settings.app_key.reveal(),
        verify=True,  # or botocore would take REQUESTS_CA_BUNDLE
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            max_pool_connections=most_connections,
            proxies={},
            # B2 refused the checksum headers that boto3 sends since 1.36.
            # https://github.com/jschneier/django-storages/issues/1498
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent=f"b2d1/{__version__} Botocore/{botocore.__version__}",
        ),
    )


class Connections:
    """The connections that a client makes from now on; `cut` ends what other threads wait for on them."""

    def __init__(self, client: Any) -> None:
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()
        # botocore closes only connections that wait in its pool, not those that are waited for.
        manager = client._endpoint.http_session._manager  # noqa: SLF001
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
                    # Not TLS's own shutdown, which would wait for an answer.
                    socket.socket.shutdown(open_socket, socket.SHUT_RDWR)

    def _followed(self, pool: type[Any]) -> type[Any]:
        def new_connection(a_pool: Any) -> Any:
            connection = pool._new_conn(a_pool)  # noqa: SLF001
            with self._lock:
                self._connections.add(connection)
            return connection

        return type(pool.__name__, (pool,), {"_new_conn": new_connection})
