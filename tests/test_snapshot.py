"""The inventory kept at a path or at s3://, and touched only when it changed."""

import gzip
import hashlib
import io
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3.session
import pytest
from conftest import FakeTime
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from b2d1.errors import SnapshotError
from b2d1.inventory import snapshot
from b2d1.inventory.writer import InventoryWriter
from b2d1.media import MediaObject
from b2d1.report import SnapshotReport
from sandbox.b2 import EmbeddedB2

HINT = "SNAPSHOT_URI, or --snapshot, must name a file that this user may write."


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """Provide an inventory, in a folder of its own as in a run."""
    path = tmp_path / "run" / "inventory.json"
    path.parent.mkdir()
    path.write_bytes(b'{"objects":[\n]}\n')
    return path


def inventory(*keys: str) -> bytes:
    """Write the inventory of such objects, as b2d1 does."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        writer = InventoryWriter(out, "b", "", "objects", Path(folder))
        writer.add(MediaObject(key, 1, "", "e", "f") for key in keys)
        writer.close()
    return out.getvalue()


def sha256(path: Path) -> str:
    """Compute a file's digest."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(folder: Path) -> list[str]:
    """Name what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def keep(
    document: Path, uri: str | Path, time: FakeTime | None = None, *, objects: int = 7
) -> SnapshotReport:
    """Keep the document there, as one of so many objects."""
    return snapshot.keep(document, sha256(document), objects, str(uri), (time or FakeTime()).retrying())


def fault(document: Path, uri: str | Path, time: FakeTime | None = None) -> SnapshotError:
    """Fail to keep the document there, in exit 1 and without a trace of a try."""
    with pytest.raises(SnapshotError) as caught:
        keep(document, uri, time)
    assert caught.value.exit_code == 1
    return caught.value


def test_a_snapshot_is_the_inventory(document: Path, tmp_path: Path) -> None:
    """The file holds the document's own bytes, its folders are made, and nothing else is left there."""
    place = tmp_path / "new" / "folders" / "inventory.json"

    assert keep(document, place) == SnapshotReport(str(place), sha256(document), changed=True)
    assert place.read_bytes() == document.read_bytes()
    assert names(place.parent) == ["inventory.json"]


@pytest.mark.parametrize("name", ["inventory.json", "inventory.json.gz"])
def test_an_unchanged_snapshot_is_not_touched(document: Path, tmp_path: Path, name: str) -> None:
    """What holds this inventory already stays the same file, of the same time."""
    place = tmp_path / name
    keep(document, place)
    os.utime(place, ns=(1, 1))
    before = place.stat()

    report = keep(document, place)

    after = place.stat()
    assert report == SnapshotReport(str(place), sha256(document), changed=False)
    assert (after.st_mtime_ns, after.st_ino) == (1, before.st_ino)


@pytest.mark.parametrize("name", ["inventory.json", "inventory.json.gz"])
def test_a_changed_snapshot_is_replaced(document: Path, tmp_path: Path, name: str) -> None:
    """A file with another inventory is replaced as a whole, by another file."""
    place = tmp_path / name
    keep(document, place)
    with place.open("rb") as reader:
        document.write_bytes(b'{"objects":[\n1\n]}\n')

        assert keep(document, place).changed
        # Whoever was reading it goes on reading the old one: it was never written over.
        old = reader.read()

    unpack = gzip.decompress if name.endswith(".gz") else bytes
    assert (unpack(old), unpack(place.read_bytes())) == (b'{"objects":[\n]}\n', document.read_bytes())


@pytest.mark.slow
def test_a_gzipped_snapshot_has_the_same_bytes_each_time(document: Path, tmp_path: Path) -> None:
    """No name and no time are in a .gz, so the same inventory gives the same file; zcat reads it."""
    places = [tmp_path / "a.json.gz", tmp_path / "b.json.gz"]

    digests = {keep(document, place).sha256 for place in places}

    assert places[0].read_bytes() == places[1].read_bytes()
    assert places[0].read_bytes()[3:8] == bytes(5)
    assert subprocess.check_output(["zcat", places[0]]) == document.read_bytes()
    assert digests == {sha256(document)}


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"garbage", id="no gzip"),
        pytest.param(gzip.compress(b'{"objects":[\n]}\n')[:-9], id="cut short"),
        pytest.param(gzip.compress(b'{"objects":[\n]}\n')[:-8] + bytes(8), id="wrong checksum"),
        pytest.param(b"\x1f\x8b\x08\0" + b"\xff" * 50, id="broken inside"),
        pytest.param(b'{"objects":[\n]}\n', id="not packed"),
    ],
)
def test_a_damaged_gzip_is_replaced(document: Path, tmp_path: Path, damaged: bytes) -> None:
    """A .gz that holds no inventory, or not wholly, counts as changed and is written anew."""
    place = tmp_path / "inventory.json.gz"
    place.write_bytes(damaged)

    assert keep(document, place).changed
    assert gzip.decompress(place.read_bytes()) == document.read_bytes()


@pytest.fixture
def umask() -> Iterator[None]:
    """Let new files be readable by their group, and by nobody else."""
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_snapshot_is_as_readable_as_any_new_file(document: Path, tmp_path: Path) -> None:
    """A new snapshot has the permissions that the umask gives, not a temporary file's."""
    keep(document, tmp_path / "inventory.json")

    assert stat.S_IMODE((tmp_path / "inventory.json").stat().st_mode) == 0o640
    assert os.umask(0o027) == 0o027


@pytest.mark.usefixtures("umask")
def test_a_replaced_snapshot_keeps_its_permissions(document: Path, tmp_path: Path) -> None:
    """A snapshot that its owner closed to others stays closed when it changes."""
    place = tmp_path / "inventory.json"
    place.touch()
    place.chmod(0o600)

    keep(document, place)

    assert stat.S_IMODE(place.stat().st_mode) == 0o600


@pytest.mark.parametrize("there", [True, False], ids=["with a target", "dangling"])
def test_a_symbolic_link_stays_one(document: Path, tmp_path: Path, there: bool) -> None:
    """The file that a link names is written, and the link still names it."""
    link, target = tmp_path / "inventory.json", tmp_path / "store" / "current"
    target.parent.mkdir()
    if there:
        target.write_bytes(b"old")
    link.symlink_to(target)

    assert keep(document, link).changed
    assert (link.readlink(), target.read_bytes()) == (target, document.read_bytes())
    assert not keep(document, link).changed


@pytest.mark.parametrize(("name", "target"), [("a.json.gz", "store"), ("a.json", "store.gz")])
def test_the_name_that_was_given_decides_about_compression(
    document: Path, tmp_path: Path, name: str, target: str
) -> None:
    """Whether a snapshot is gzipped is told by SNAPSHOT_URI's own ending, not by that of a link's target."""
    (tmp_path / name).symlink_to(tmp_path / target)

    keep(document, tmp_path / name)

    unpack = gzip.decompress if name.endswith(".gz") else bytes
    assert unpack((tmp_path / target).read_bytes()) == document.read_bytes()
    assert not keep(document, tmp_path / name).changed


# Keeps a snapshot, and is killed when some of it is written.
KEEP_AND_DIE = """
import os, shutil, signal, sys
from pathlib import Path
from b2d1.inventory import snapshot
from b2d1.retry import Retrying

def copy(source, target):
    target.write(source.read(5))
    target.flush()
    os.kill(os.getpid(), signal.SIGKILL)

shutil.copyfileobj = copy
snapshot.keep(Path(sys.argv[1]), "0" * 64, 7, sys.argv[2], Retrying())
"""


@pytest.mark.slow
@pytest.mark.parametrize("changed", [True, False])
def test_what_a_killed_run_left_beside_the_snapshot_is_removed(
    document: Path, tmp_path: Path, *, changed: bool
) -> None:
    """The old snapshot is whole, and the next run removes what is left, but nothing of other programs."""
    folder = tmp_path / "kept"
    (folder / ".b2d1-lab").mkdir(parents=True)
    (folder / ".b2d1-notes").write_bytes(b"x")
    place = folder / "inventory.json"
    place.write_bytes(b"old" if changed else document.read_bytes())
    before = place.read_bytes()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    dead = subprocess.run([sys.executable, "-c", KEEP_AND_DIE, document, place], env=env, check=False)

    assert (dead.returncode, place.read_bytes()) == (-signal.SIGKILL, before)
    assert len(names(folder)) == 4
    assert keep(document, place).changed is changed
    assert names(folder) == [".b2d1-lab", ".b2d1-notes", "inventory.json"]


def test_a_relative_path_is_one_of_the_working_folder(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that is not absolute is meant as the shell means it."""
    monkeypatch.chdir(tmp_path)

    assert keep(document, "here.json") == SnapshotReport("here.json", sha256(document), changed=True)
    assert (tmp_path / "here.json").read_bytes() == document.read_bytes()


def test_a_folder_is_no_place_for_a_snapshot(document: Path, tmp_path: Path) -> None:
    """A folder is not replaced, and nothing is put into it."""
    place = tmp_path / "folder"
    place.mkdir()

    error = fault(document, place)

    assert (str(error), error.hint) == (f"keeping the snapshot at {place}: it is no ordinary file", HINT)
    assert (names(place), names(tmp_path)) == ([], ["folder", "run"])


def test_a_pipe_or_a_device_is_not_replaced(document: Path, tmp_path: Path) -> None:
    """What is no ordinary file, as /dev/null is none, is left as it is, and not waited for."""
    place = tmp_path / "pipe"
    os.mkfifo(place)
    # Lets whoever opens the pipe for reading come back, so that this test fails and does not hang.
    writer = threading.Thread(target=lambda: place.open("wb").close(), daemon=True)
    writer.start()
    try:
        error = fault(document, place)
    finally:
        reader = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
        writer.join()
        os.close(reader)

    assert (str(error), error.hint) == (f"keeping the snapshot at {place}: it is no ordinary file", HINT)
    assert place.is_fifo()


def test_a_place_that_cannot_be_written_is_named(document: Path, tmp_path: Path) -> None:
    """Below a file there are no files: the error says what stands in the way, and what to set."""
    (tmp_path / "file").write_bytes(b"old")

    errors = [fault(document, tmp_path / "file" / rest) for rest in ("a.json", "b/a.json")]

    assert [str(error) for error in errors] == [
        f"keeping the snapshot at {tmp_path}/file/a.json: File exists: {tmp_path}/file",
        f"keeping the snapshot at {tmp_path}/file/b/a.json: Not a directory: {tmp_path}/file/b",
    ]
    another = "SNAPSHOT_URI, or --snapshot, names another place."
    assert {error.hint for error in errors} == {f"A part of the path is a file, and not a folder. {another}"}
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize("name", ["inventory.json", "inventory.json.gz"])
def test_a_document_that_disappears_leaves_the_old_snapshot(
    document: Path, tmp_path: Path, name: str
) -> None:
    """When there is nothing to copy any more, the old snapshot is whole, and nothing lies beside it."""
    place = tmp_path / "kept" / name
    keep(document, place)
    before = place.read_bytes()
    digest = hashlib.sha256(b"another").hexdigest()
    document.unlink()

    with pytest.raises(SnapshotError, match=r"No such file or directory: .*/run/inventory\.json"):
        snapshot.keep(document, digest, 7, str(place), FakeTime().retrying())

    assert (names(place.parent), place.read_bytes()) == ([name], before)


@pytest.mark.parametrize("name", ["inventory.json", "inventory.json.gz"])
def test_a_full_disk_leaves_the_old_snapshot(document: Path, tmp_path: Path, name: str) -> None:
    """When the disk takes only a part, the old snapshot is whole, and the part is taken away again."""
    place = tmp_path / "kept" / name
    keep(document, place)
    before = place.read_bytes()
    document.write_bytes(os.urandom(300_000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        error = fault(document, place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert str(error) == f"keeping the snapshot at {place}: File too large"
    assert error.hint.startswith("The file grew larger than a limit allows")
    assert (names(place.parent), place.read_bytes()) == ([name], before)


AWS_KEY, AWS_SECRET, REGION = "AKIASNAPSHOTS", "snapshots-secret", "eu-west-1"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be somebody in AWS, by the environment alone; B2's settings are in the environment too."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    environment = {
        "AWS_ACCESS_KEY_ID": AWS_KEY,
        "AWS_SECRET_ACCESS_KEY": AWS_SECRET,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "B2_KEY_ID": "b2-key",
        "B2_APP_KEY": "b2-secret",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def s3(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedB2]:
    """Run an S3 with an empty bucket `snapshots`, which lets in whoever `aws` is and nobody else."""
    with EmbeddedB2(
        bucket="snapshots", region=REGION, key_id=AWS_KEY, app_key=AWS_SECRET, fill=False
    ) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


def stored(key: str) -> dict[str, Any]:
    """Fetch an object of the bucket, with its headers."""
    answer: Any = boto3.session.Session().client("s3").get_object(Bucket="snapshots", Key=key)
    with answer["Body"] as body:
        return {**answer, "Body": body.read()}


@pytest.mark.parametrize(
    ("key", "content_type"),
    [
        ("b2/inventory.json", "application/json"),
        ("inventory.json.gz", "application/gzip"),
        ("a b/ü+", "application/json"),
    ],
)
def test_a_snapshot_in_s3_is_the_inventory(
    s3: EmbeddedB2, document: Path, key: str, content_type: str
) -> None:
    """An object is written with the inventory, its type and its digest; .gz is the same each time."""
    uri = f"s3://snapshots/{key}"

    report = keep(document, uri)

    answer = stored(key)
    packed = gzip.compress(document.read_bytes(), mtime=0)
    unpacked = gzip.decompress(answer["Body"]) if key.endswith(".gz") else answer["Body"]
    assert report == SnapshotReport(uri, sha256(document), changed=True)
    assert unpacked == document.read_bytes()
    assert answer["ContentType"] == content_type
    assert answer["Metadata"] == {"b2d1-sha256": sha256(document), "b2d1-objects": "7"}
    assert not key.endswith(".gz") or answer["Body"][3:8] == packed[3:8] == bytes(5)


@pytest.mark.parametrize("key", ["inventory.json", "inventory.json.gz"])
def test_an_unchanged_snapshot_in_s3_is_not_written_again(s3: EmbeddedB2, document: Path, key: str) -> None:
    """One HEAD finds out that it holds this inventory; a PUT follows only when it does not."""
    uri = f"s3://snapshots/{key}"

    first = keep(document, uri)
    second = keep(document, uri)
    document.write_bytes(b"another")
    third = keep(document, uri)

    assert [report.changed for report in (first, second, third)] == [True, False, True]
    head, put = f"HEAD /snapshots/{key}", f"PUT /snapshots/{key}"
    assert s3.requests == [head, put, head, head, put]


@pytest.mark.parametrize(
    ("content", "before"),
    [
        pytest.param(None, None, id="nothing"),
        pytest.param(inventory(), 0, id="an empty one"),
        pytest.param(inventory("a"), 1, id="one object"),
        pytest.param(inventory("a", "line\nend", "]}\n", '{"bucket":'), 4, id="keys like its marks"),
        pytest.param(inventory(*map(str, range(30_000))), 30_000, id="more than is read at once"),
        pytest.param(inventory("a", "b")[:-1], None, id="cut short"),
        pytest.param(b"{\n" + inventory("a")[1:], None, id="in another form"),
        pytest.param(b'{"objects":[\n{"key":"a"}\n]}\n', None, id="of the original scripts"),
        pytest.param(b"", None, id="an empty file"),
    ],
)
@pytest.mark.parametrize("name", ["inventory.json", "inventory.json.gz"])
def test_the_report_tells_how_many_objects_were_there_before(
    document: Path, tmp_path: Path, name: str, content: bytes | None, before: int | None
) -> None:
    """The objects of the snapshot that is replaced are counted; those of what is none are unknown."""
    place = tmp_path / name
    if content is not None:
        place.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)

    assert keep(document, place).objects_before == before


def test_an_unchanged_snapshot_has_as_many_objects_as_before(document: Path, tmp_path: Path) -> None:
    """Where nothing is replaced the count before is the count now."""
    document.write_bytes(inventory("a", "b"))

    reports = [keep(document, tmp_path / "inventory.json") for _ in range(2)]

    assert [(report.changed, report.objects_before) for report in reports] == [(True, None), (False, 2)]


def test_s3_tells_how_many_objects_were_there_before(s3: EmbeddedB2, document: Path) -> None:
    """The count stands beside the digest, so that one HEAD tells it and nothing is fetched."""
    reports = []
    for objects, content in ((12_345, b"1"), (17, b"2"), (17, b"2"), (0, b"3")):
        document.write_bytes(content)
        reports.append(keep(document, "s3://snapshots/a.json", objects=objects))

    told = [(report.changed, report.objects_before) for report in reports]
    assert told == [(True, None), (True, 12_345), (False, 17), (True, 17)]
    assert [line.split()[0] for line in s3.requests] == ["HEAD", "PUT", "HEAD", "PUT", "HEAD", "HEAD", "PUT"]


def test_an_object_of_other_hands_is_replaced(s3: EmbeddedB2, document: Path) -> None:
    """An object that does not say which inventory it holds counts as changed."""
    s3.put("inventory.json", document.read_bytes())

    assert keep(document, "s3://snapshots/inventory.json").changed


def test_a_missing_bucket_is_named(s3: EmbeddedB2, document: Path) -> None:
    """A bucket that is not there is S3's own refusal, with what is needed."""
    error = fault(document, "s3://elsewhere/inventory.json")

    assert str(error) == (
        "keeping the snapshot at s3://elsewhere/inventory.json: "
        "S3 answered 404 NoSuchBucket: The specified bucket does not exist"
    )
    assert error.hint == "The role needs s3:GetObject and s3:PutObject there, and the bucket must exist."


def test_b2s_key_is_never_shown_to_s3(
    s3: EmbeddedB2, document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without AWS credentials nothing is sent, whatever B2_KEY_ID and B2_APP_KEY hold."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    error = fault(document, "s3://snapshots/inventory.json")

    assert str(error) == "keeping the snapshot at s3://snapshots/inventory.json: Unable to locate credentials"
    assert (
        error.hint == "Give this user, or this role, AWS credentials and a region: AWS_* variables or ~/.aws."
    )
    assert s3.requests == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        pytest.param("AWS_PROFILE", "nobody", "The config profile (nobody) could not be found", id="profile"),
        pytest.param("AWS_SECRET_ACCESS_KEY", "", "Partial credentials found in env", id="no secret"),
        pytest.param("AWS_ENDPOINT_URL_S3", "nonsense", "Invalid endpoint: nonsense", id="endpoint"),
    ],
)
def test_a_configuration_that_does_not_work_has_a_name(
    s3: EmbeddedB2, document: Path, monkeypatch: pytest.MonkeyPatch, *, name: str, value: str, said: str
) -> None:
    """Whatever is wrong with the AWS configuration is a SnapshotError with a hint, not a traceback."""
    monkeypatch.setenv(name, value)

    error = fault(document, "s3://snapshots/inventory.json")

    assert error.message.startswith(said)
    assert error.hint
    assert s3.requests == []


class Script:
    """Answers S3's requests with these statuses, in order, and remembers what was asked and sent."""

    def __init__(self, server: HTTPServer, *answers: Response) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.sent: list[bytes] = []
        server.expect_request("/snapshots/a.json").respond_with_handler(self.answer)

    def answer(self, request: Request) -> Response:
        self.asked.append(request.method)
        self.sent.append(request.get_data())
        return self.answers.pop(0)


@pytest.fixture
def scripted(aws: None, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    """Provide a server that S3's client takes for S3."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", httpserver.url_for("").rstrip("/"))
    return httpserver


def kept() -> Response:
    """Answer a PUT as S3 does when it has the object."""
    return Response(headers={"ETag": '"9a0364b9e99bb480dd25e1f0284c8555"'})


def test_a_busy_s3_is_asked_again(scripted: HTTPServer, document: Path, fake_time: FakeTime) -> None:
    """503 is tried again with growing pauses, each time with the whole document."""
    script = Script(scripted, *(Response(status=status) for status in (503, 503, 404, 503, 500)), kept())

    assert keep(document, "s3://snapshots/a.json", fake_time).changed
    assert script.asked == ["HEAD", "HEAD", "HEAD", "PUT", "PUT", "PUT"]
    assert script.sent[3:] == [document.read_bytes()] * 3
    assert fake_time.pauses == [1.0, 2.0, 1.0, 2.0]


def test_another_answer_to_a_put_is_not_believed(
    scripted: HTTPServer, document: Path, fake_time: FakeTime
) -> None:
    """A page of something on the way, under HTTP 200, does not pass for a snapshot that is kept."""
    page = Response("<html><body>Log in to this network</body></html>", content_type="text/html")
    script = Script(scripted, Response(status=404), *[page] * 8)

    error = fault(document, "s3://snapshots/a.json", fake_time)

    assert error.message == "the answer is not S3's"
    assert script.asked == ["HEAD", *["PUT"] * 8]


def test_s3_may_say_how_long_to_wait(scripted: HTTPServer, document: Path, fake_time: FakeTime) -> None:
    """Retry-After is waited for."""
    Script(scripted, Response(status=404), Response(status=503, headers={"Retry-After": "17"}), kept())

    keep(document, "s3://snapshots/a.json", fake_time)

    assert fake_time.pauses == [17.0]


def test_an_unreachable_s3_is_tried_again(
    aws: None, document: Path, fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is refused is tried again before it is given up: three seconds on this machine."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")

    error = fault(document, "s3://snapshots/a.json", fake_time)

    assert str(error).endswith("(gave up after 3 attempts)")
    assert fake_time.pauses == [1.0, 2.0]


def test_a_refusal_is_not_tried_again(scripted: HTTPServer, document: Path, fake_time: FakeTime) -> None:
    """A role that may not write is told so at once; that it may not look either is no answer yet."""
    denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    script = Script(scripted, Response(status=403), Response(denied, 403))

    error = fault(document, "s3://snapshots/a.json", fake_time)

    assert error.message == "S3 answered 403 AccessDenied: Access Denied"
    assert (script.asked, fake_time.pauses) == (["HEAD", "PUT"], [])


def test_s3_ends_inside_the_deadline(scripted: HTTPServer, document: Path, fake_time: FakeTime) -> None:
    """With 20 seconds left, an S3 that is always busy is given up before they are over."""
    Script(scripted, *(Response(status=503) for _ in range(50)))
    began = fake_time.now

    with pytest.raises(SnapshotError, match="gave up"):
        snapshot.keep(document, sha256(document), 7, "s3://snapshots/a.json", fake_time.retrying(20))

    assert fake_time.now - began <= 20


@pytest.mark.parametrize("count", ["", "many", "-1", "1.5", "9" * 19])
def test_a_count_that_is_none_is_unknown(
    scripted: HTTPServer, document: Path, fake_time: FakeTime, count: str
) -> None:
    """What others wrote in the place of the count is not believed."""
    Script(scripted, Response(headers={"x-amz-meta-b2d1-objects": count}), kept())

    assert keep(document, "s3://snapshots/a.json", fake_time).objects_before is None
