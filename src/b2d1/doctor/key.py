"""The application key, and what B2 says beside it: the endpoint and the time."""

import datetime as dt
import urllib.parse
from collections.abc import Callable

from b2d1.b2.native import Key, Native
from b2d1.doctor.configuration import SETTINGS, Sound
from b2d1.doctor.finding import Check, Found, fail, not_checked, ok, telling_where, warn
from b2d1.errors import B2Error, harmless
from b2d1.retry import Retrying
from b2d1.setting_values import backblaze_region
from b2d1.settings import DEFAULT_NATIVE_URL

KEY = "B2 key"
B2_EXIT = B2Error.exit_code

NEEDED = "listFiles"
# Without it B2 says of a wrong bucket's name that the key is not entitled to it.
WANTED = "listBuckets"
# It adds names of buckets, which some S3 tools ask for.
HARMLESS = "listAllBucketNames"
MAKE_A_KEY = "Make a key for this bucket with listFiles and listBuckets alone: docs/operations.md, step 2."

# SigV4 takes no signature that is further from the server's time than this.
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (RequestTimeTooSkewed)
MOST_SKEW = dt.timedelta(minutes=15)
MUCH_SKEW = dt.timedelta(minutes=5)
# The Date header has whole seconds, and the answer was on its way for some.
NO_SKEW = dt.timedelta(seconds=10)
EXPIRES_SOON = dt.timedelta(days=14)


class KeyChecks:
    """The checks that one request of B2's own API is enough for; `now` tells this machine's time."""

    def __init__(self, sound: Sound, retrying: Retrying, now: Callable[[], dt.datetime]) -> None:
        self._sound = sound
        self._retrying = retrying
        self._now = now
        self._key: Key | None = None
        self._skew: dt.timedelta | None = None

    def checks(self) -> list[Check]:
        """List the checks, in their order."""
        given = () if self._sound.key else (SETTINGS,)
        all_given = () if self._sound.b2 else (SETTINGS,)
        url = self._sound.key.native_url if self._sound.key else None
        valid: Callable[[], Found] = self._valid
        if url and url != DEFAULT_NATIVE_URL:
            valid = telling_where(valid, url, "B2_NATIVE_URL", "Backblaze")
        return [
            Check(KEY, valid, given),
            Check("B2 key's expiry", self._expiry, (KEY,)),
            Check("B2 key's capabilities", self._capabilities, (KEY,)),
            Check("B2 key's restriction", self._restriction, (KEY, *all_given)),
            Check("B2 endpoint", self._endpoint),
            Check("clock", self._clock, given),
        ]

    def _valid(self) -> Found:
        settings = self._sound.key
        if settings is None or settings.native_url is None:
            return not_checked("B2_ENDPOINT is not Backblaze's, and B2_NATIVE_URL is not set")
        native = Native(settings, self._retrying)
        try:
            key = native.authorize()
        finally:
            if native.date:
                self._skew = native.date - self._now()
        self._key = key
        if key.is_master:
            return fail(
                B2_EXIT, "it is the account's master key, which B2's S3 API does not take", MAKE_A_KEY
            )
        return ok("B2 knows it")

    def _expiry(self) -> Found:
        if self._key is None:
            return _unknown()
        expires = self._key.expires
        if expires is None:
            return ok("it never expires")
        left = expires - self._now()
        told = f"{left.days} days" if left.days > 1 else f"{left.total_seconds() / 3600:.0f} hours"
        found = f"it expires on {expires:%Y-%m-%d %H:%M} UTC, in {told}"
        if left > EXPIRES_SOON:
            return ok(found)
        return warn(found, "Put a new key in its place before: docs/operations.md, Rotating keys.")

    def _capabilities(self) -> Found:
        if self._key is None:
            return _unknown()
        able = self._key.capabilities
        if NEEDED not in able:
            named = ", ".join(sorted(able)) or "none"
            return fail(B2_EXIT, f"{NEEDED} is not among them: {named}", MAKE_A_KEY)
        if more := sorted(able - {NEEDED, WANTED, HARMLESS}):
            return warn(f"it can do more than list: {', '.join(more)}", MAKE_A_KEY)
        if WANTED not in able:
            return warn(f"{WANTED} is not among them, so B2 hides that a bucket's name is wrong", MAKE_A_KEY)
        return ok(f"it can list and no more: {', '.join(sorted(able))}")

    def _restriction(self) -> Found:
        key, settings = self._key, self._sound.b2
        if key is None or settings is None:
            return _unknown()
        keys = f"keys that begin with {key.prefix!r}" if key.prefix else "all its keys"
        buckets = "every bucket of the account"
        if key.buckets is not None:
            buckets = ", ".join(name or "a bucket that is gone" for name in key.buckets)
            if settings.bucket not in key.buckets:
                return fail(
                    B2_EXIT,
                    f"it is for {buckets}, and B2_BUCKET is {settings.bucket}",
                    "Correct B2_BUCKET, or make a key for that bucket: docs/operations.md, step 2.",
                )
        if not settings.prefix.startswith(key.prefix or ""):
            return fail(
                B2_EXIT,
                f"it is for {keys}, and B2_PREFIX is {settings.prefix or 'not set'}",
                f"Set B2_PREFIX to {harmless(key.prefix or '')} or a longer one, or make a key without one.",
            )
        if key.buckets is None:
            return warn(f"it is for {buckets}, {keys}", MAKE_A_KEY)
        return ok(f"it is for {buckets}, {keys}")

    def _endpoint(self) -> Found:
        settings, own = self._sound.b2, self._key and self._key.s3_url
        if settings is None:
            told = f"; the key's account is at {own}" if own else ""
            return not_checked(f"it needs what failed above: {SETTINGS}{told}")
        if own and not _same_host(own, settings.endpoint):
            return fail(
                B2_EXIT,
                f"it is {settings.endpoint}, and the key's account is at {own}",
                f"Set B2_ENDPOINT to {own}, and "
                + ("leave B2_REGION empty." if backblaze_region(own) else "B2_REGION to that host's region."),
            )
        named = backblaze_region(settings.endpoint)
        if named and named != settings.region:
            return fail(
                B2_EXIT,
                f"it is in {named}, and B2_REGION is {settings.region}",
                "Leave B2_REGION empty: it is read from the endpoint.",
            )
        agreed = "the one of the key's account" if own else "not compared with the key's account"
        if named:
            return ok(f"{settings.endpoint}, region {named}: {agreed}")
        unproven = f"region {settings.region} is B2_REGION's, which only a request can prove"
        return ok(f"{settings.endpoint}: {agreed}; {unproven}")

    def _clock(self) -> Found:
        if self._skew is None:
            return not_checked("no answer of B2's own API told its time")
        off = abs(self._skew)
        where = "behind" if self._skew > dt.timedelta() else "ahead of"
        found = f"it is {off.total_seconds() / 60:,.0f} minutes {where} B2's"
        fix = "Set this machine's clock, and let it follow a time server (NTP)."
        if off > MOST_SKEW:
            return fail(B2_EXIT, f"{found}, and B2 takes no more than 15 minutes", fix)
        if off > MUCH_SKEW:
            return warn(found, fix)
        return ok("it agrees with B2's" if off < NO_SKEW else f"it is {off.seconds} s {where} B2's")


def _same_host(one: str, other: str) -> bool:
    # In capitals or not, with the usual port or without.
    places = [urllib.parse.urlsplit(each) for each in (one, other)]
    first, second = ((each.hostname, each.port or {"http": 80}.get(each.scheme, 443)) for each in places)
    return first == second


def _unknown() -> Found:
    return not_checked(f"{KEY} was not checked")
