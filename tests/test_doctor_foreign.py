"""The doctor among strangers: what they say neither stops it, nor has it wait, nor reaches a terminal."""

import os
import re
from pathlib import Path

import pytest
from conftest import FakeTime
from pytest_httpserver import HTTPServer
from scripted_d1 import ACCOUNT, TOKEN

from b2d1.doctor.examination import examine, impatient
from b2d1.doctor.finding import Status
from b2d1.retry import Deadline


@pytest.fixture(autouse=True)
def nobody_in_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have no AWS credentials, whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


def test_nobody_is_waited_for_who_asks_for_a_long_pause(
    httpserver: HTTPServer, fake_time: FakeTime, tmp_path: Path
) -> None:
    """A service that answers 503 and asks for minutes of patience is told at once, and not waited for."""
    httpserver.expect_request(re.compile(".*")).respond_with_data("", 503, {"Retry-After": "600"})
    url = httpserver.url_for("").rstrip("/")
    env = {"B2_KEY_ID": "id", "B2_APP_KEY": "key", "B2_BUCKET": "photos", "B2_REGION": "here"}
    env |= {"B2_ENDPOINT": url, "B2_NATIVE_URL": url, "SNAPSHOT_URI": str(tmp_path / "kept.json")}
    env |= {"CLOUDFLARE_API_TOKEN": TOKEN, "CLOUDFLARE_ACCOUNT_ID": ACCOUNT, "CLOUDFLARE_API_BASE_URL": url}
    retrying = impatient(deadline=Deadline(clock=fake_time.clock), sleep=fake_time.sleep)

    lines = list(examine(env, "no stack", retrying))

    failed = [line.check for line in lines if line.status is Status.FAIL]
    assert (failed, fake_time.pauses) == (["B2 key", "B2 bucket", "Cloudflare token"], [])
    assert all("the next try is due in 600.0 s" in line.found for line in lines if line.check in failed)
