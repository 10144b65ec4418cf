"""The bucket: one page of it listed, and looked at for what a listing takes for granted."""

import logging
from collections.abc import Iterable

from b2d1.b2.bucket import Bucket, Page
from b2d1.b2.page_xml import UNSOUND_HINT
from b2d1.doctor.configuration import SETTINGS
from b2d1.doctor.finding import Check, Found, counted, fail, not_checked, ok, warn
from b2d1.errors import B2Error, GuardRefusal
from b2d1.exclude import Exclude
from b2d1.media import ListMode, MediaObject
from b2d1.report import left_out
from b2d1.retry import Retrying
from b2d1.settings import B2Settings

logger = logging.getLogger(__name__)

BUCKET = "B2 bucket"
# Of objects without an identity so many are named.
NAMED = 3
# What Backblaze's web page and desktop programs leave in a bucket.
LITTER = (".bzEmpty", ".DS_Store", "Thumbs.db", "desktop.ini")
USUAL_ID = {"objects": "quoted ETag", "versions": "VersionId of B2's form, 4_z…"}


class BucketChecks:
    """Three checks on two requests; after them `page` is the bucket's first page, or None."""

    def __init__(self, settings: B2Settings | None, retrying: Retrying) -> None:
        self.page: Page | None = None
        self._settings = settings
        self._retrying = retrying

    def checks(self) -> list[Check]:
        """List the checks, in their order."""
        given = () if self._settings else (SETTINGS,)
        return [
            Check(BUCKET, self._listed, given),
            Check("B2 listing", self._as_assumed, (BUCKET,)),
            Check("B2 pages", self._follow, (BUCKET,)),
        ]

    def _listed(self) -> Found:
        if (settings := self._settings) is None:
            return not_checked(f"it needs {SETTINGS}")
        self.page = page = Bucket(settings, self._retrying).page({})
        logger.debug("listing bucket %s: page of %d objects", settings.bucket, len(page.objects))
        place = settings.bucket + (f", keys that begin with {settings.prefix!r}" if settings.prefix else "")
        count = len(page.objects) + len(page.unidentified)
        if not count and page.next is None:
            # A run refuses it: an emptied bucket and a wrong prefix look alike.
            return fail(
                GuardRefusal.exit_code,
                f"{place}: there is no object",
                "Compare B2_BUCKET and B2_PREFIX; a prefix is taken literally, and keys seldom begin with a "
                "slash. If it is to be empty: b2d1 sync --adopt.",
            )
        return ok(
            f"{place}: {counted(count, 'object')} on the first page{', and more follow' if page.next else ''}"
        )

    def _as_assumed(self) -> Found:
        settings, page = self._settings, self.page
        if settings is None or page is None:
            return not_checked(f"it needs {BUCKET}")
        if error := left_out(len(page.unidentified), settings.bucket):
            named = ", ".join(map(repr, page.unidentified[:NAMED]))
            found = f"{error}: {named}{', …' if len(page.unidentified) > NAMED else ''}"
            return fail(error.exit_code, found, "Upload them anew, so that B2 gives them one.")
        keys = [media.key for media in page.objects]
        if not all(key.startswith(settings.prefix) for key in keys):
            return fail(B2Error.exit_code, "keys do not begin with B2_PREFIX", UNSOUND_HINT)
        if sorted(set(keys)) == keys:
            order = "keys stand in the order of their bytes"
        elif sorted(set(keys), key=lambda key: key.encode("utf-16-be")) == keys:
            order = "keys stand in UTF-16 order"
        else:
            return fail(B2Error.exit_code, "keys stand in no order, or twice", UNSOUND_HINT)
        usual = USUAL_ID[settings.list_mode]
        if odd := [media for media in page.objects if not _has_usual_id(media, settings.list_mode)]:
            share = f"{len(odd):,} of {counted(len(keys), 'object')}"
            return warn(
                f"{share} without a {usual}: {odd[0].key!r} has {odd[0].file_id}",
                "Fill a table from this host alone: at another one its objects would get a second media_uid.",
            )
        if not keys:
            return ok("no object to look at")
        return ok(f"{order}, each with a {usual}{_litter(page.objects, settings.exclude)}")

    def _follow(self) -> Found:
        """Check what listing several pages rests on: a page requested by a key begins behind that key."""
        settings, page = self._settings, self.page
        if settings is None or page is None:
            return not_checked(f"it needs {BUCKET}")
        if len(page.keys) < 2:
            return ok("there are fewer than two keys to compare")
        bucket = Bucket(settings, self._retrying)
        start, last = page.keys[-2:]
        following = bucket.page(bucket.after(start))
        logger.debug("listing bucket %s: page of %d objects", settings.bucket, len(following.objects))
        if following.keys[:1] == [last]:
            return ok("a page requested by a key begins behind that key")
        listed = repr(following.keys[0]) if following.keys else "no key"
        return fail(
            B2Error.exit_code,
            f"asked for keys after {start!r}, the host lists {listed}, not {last!r}",
            UNSOUND_HINT,
        )


def _litter(objects: Iterable[MediaObject], exclude: Exclude) -> str:
    """Say which files that desktop programs left will be rows; "" if none will."""
    names = [media.key.rpartition("/")[2] for media in objects if not exclude.excludes(media.key)]
    found = [name for name in LITTER if name in names]
    if not found:
        return ""
    return f"; {', '.join(found)} will be rows, unless B2_EXCLUDE is {','.join(found)}"


def _has_usual_id(media: MediaObject, mode: ListMode) -> bool:
    if mode == "versions":
        return media.file_id.startswith("4_z")
    return len(media.file_id) > 2 and media.file_id[0] == media.file_id[-1] == '"'
