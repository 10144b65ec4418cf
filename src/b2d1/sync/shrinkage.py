"""Whether a listing holds much less than the one before it.

It is said and nothing more, since nothing is ever deleted: a prefix was changed, or somebody deleted objects
and nobody noticed yet.
"""

import logging

logger = logging.getLogger(__name__)

# Fewer than half, and by more than a day's tidying takes.
SMALLEST_LOSS = 100


def shrunk_by(before: int | None, now: int) -> int:
    """Count what is gone of the objects `before` (None: unknown), and warn, if it is much; else 0."""
    lost = 0 if before is None else before - now
    if lost <= 0 or (now and (now >= lost or lost < SMALLEST_LOSS)):
        return 0
    logger.warning(
        "the last snapshot has %s objects, this listing %s: are the prefix and B2_EXCLUDE right? "
        "Every row stays",
        *(f"{before:,}", f"{now:,}"),
    )
    return lost
