"""boto3's client for B2, told by the settings alone."""

import os
from typing import Any

import boto3.session
import botocore.session
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.loaders import Loader

from b2d1 import __version__
from b2d1.b2.answer import CONNECT_TIMEOUT, READ_TIMEOUT
from b2d1.settings import B2Settings


def b2_client(settings: B2Settings) -> Any:
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
        verify=settings.ca_bundle or True,  # or botocore would take REQUESTS_CA_BUNDLE
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            proxies={},
            # B2 refused the checksum headers that boto3 sends since 1.36.
            # https://github.com/jschneier/django-storages/issues/1498
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent=f"b2d1/{__version__} Botocore/{botocore.__version__}",
        ),
    )
