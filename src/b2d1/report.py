"""What a run found and did: one frozen value, printed, logged and measured under the same names."""

import dataclasses
import json
from typing import Any

from b2d1.errors import B2Error, IndexDiffers
from b2d1.media import ListMode


@dataclasses.dataclass(frozen=True)
class SnapshotReport:
    """Where the inventory is kept, the SHA-256 of it (before any compression), and whether it changed.

    `objects_before` counts what the snapshot that was there holds, None where none was or it does not say.
    """

    uri: str
    sha256: str
    changed: bool
    objects_before: int | None = None


@dataclasses.dataclass(frozen=True)
class SyncReport:
    """The figures of one run.

    `discovered` counts the objects listed: `known` to D1, `new` to it (distinct uids), or `unidentified`;
    `excluded` those whose keys B2_EXCLUDE matches, which are not among them.
    Of the new ones `deferred` are left to the next run; `inserted` is what D1 confirmed, and `confirmed` is
    false when an answer was lost on the way. `rounds` counts what was published, each all or none.

    The receipt: `checked` counts the rows that D1 was asked about after they were written, and
    `missing_after` those that it did not have; None when nothing was to be written (a dry run). `changed_db`
    is false when no statement changed anything. `listing_sha256` is that of the listing as an inventory.

    `shrunk_by` counts how many objects fewer than in the last snapshot there are, where that is much; else 0.
    """

    run_id: str
    started_at: str
    duration_ms: int
    bucket: str
    prefix: str
    list_mode: ListMode
    key_order: str
    database_name: str | None
    database_id: str
    dry_run: bool
    discovered: int
    known: int
    new: int
    inserted: int
    confirmed: bool
    deferred: int
    unidentified: int
    excluded: int
    rounds: int
    checked: int
    missing_after: int | None
    list_requests: int
    d1_requests: int
    rows_read: int
    rows_written: int
    changed_db: bool
    bookmark: str | None
    listing_sha256: str
    shrunk_by: int
    snapshot: SnapshotReport | None

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON's kinds of values."""
        return dataclasses.asdict(self)

    def as_json(self) -> str:
        """Write the report as one line of JSON."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def shortfall(self) -> B2Error | None:
        """Return the error that a run ends with although all it could do is done, or None."""
        return left_out(self.unidentified, self.bucket)


@dataclasses.dataclass(frozen=True)
class Sample:
    """A row or an object that was found: `rowid` is None where there is no row, `note` says what is wrong.

    A value of the row is None where it is none that could be right.
    """

    rowid: int | None
    b2_key: str | None
    media_uid: str | None
    note: str


@dataclasses.dataclass(frozen=True)
class VerifyReport:
    """How the index and a listing differ.

    Of the `rows` of the table each is one of these: `corrupt` by itself; `matching` an object of the listing,
    or `different` from the one with its media_uid; `doubled`, a second row of a listed object; `history`, an
    object's that is not listed; or `outside` the prefix, so that nothing is known. `missing` counts the
    objects whose media_uid no row has. `samples` holds some of each kind that an operator may look for.
    """

    started_at: str
    duration_ms: int
    bucket: str
    prefix: str
    list_mode: ListMode
    key_order: str
    database_name: str | None
    database_id: str
    discovered: int
    unidentified: int
    excluded: int
    rows: int
    matching: int
    missing: int
    different: int
    doubled: int
    corrupt: int
    history: int
    outside: int
    list_requests: int
    d1_requests: int
    rows_read: int
    rows_written: int
    changed_db: bool
    samples: dict[str, list[Sample]]

    def as_json(self) -> str:
        """Write the report as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    def verdict(self) -> IndexDiffers | B2Error | None:
        """Return the error that a verification ends with, or None."""
        kinds = ("missing", "different", "doubled", "corrupt")
        found = {kind: getattr(self, kind) for kind in kinds}
        if not any(found.values()):
            return left_out(self.unidentified, self.bucket)
        if self.rows > self.corrupt and not self.matching + self.different:
            hint = "Not one row is of this listing: compare bucket, prefix, B2_LIST_MODE and database."
        elif self.missing and not self.different + self.doubled + self.corrupt:
            hint = "b2d1 sync inserts what is missing."
        else:
            hint = "docs/operations.md, 'Is my index right?', tells what each of them means, and what to do."
        told = ", ".join(f"{count:,} {kind}" for kind, count in found.items() if count)
        return IndexDiffers(f"the index differs from the listing: {told}", hint=hint)


def left_out(unidentified: int, bucket: str) -> B2Error | None:
    """Return the error for objects that could not be identified, or None when there are none."""
    if not unidentified:
        return None
    count = "1 object has" if unidentified == 1 else f"{unidentified:,} objects have"
    return B2Error(
        f"{count} no identity: left out; the others were not",
        doing=f"listing bucket {bucket}",
        hint="The log names them. Upload them anew, so that B2 gives them one.",
    )
