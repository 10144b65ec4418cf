"""The machine that measured, as far as figures depend on it."""

import os
import platform
from pathlib import Path

import boto3
import botocore

from b2d1 import __version__


def description() -> str:
    """Describe processor, memory, system and the versions of what was measured, in one line each."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GB RAM, {_system()}\n"
        f"Python {platform.python_version()}, boto3 {boto3.__version__}, botocore {botocore.__version__}, "
        f"b2d1 {__version__}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"
