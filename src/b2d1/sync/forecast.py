"""What a first load costs on D1's free plan, said before it begins."""

# https://developers.cloudflare.com/d1/platform/pricing/: beyond this the database refuses until 00:00 UTC.
FREE_ROWS_A_DAY = 100_000
# For staging and for whatever else writes that day.
SPARE_ROWS = 1_000


def free_plan(new: int, due: int, indexes: int) -> str:
    """Say how many days a load takes on the free plan, and by which setting; empty when it fits into one.

    `new` rows are missing, `due` of them are written by this run; each is a row written for the table and
    one for each of its `indexes`.
    """
    price = 1 + indexes
    if due * price <= FREE_ROWS_A_DAY - SPARE_ROWS:
        return ""
    most = (FREE_ROWS_A_DAY - SPARE_ROWS) // price
    return (
        f"inserting {due:,} rows writes about {due * price:,}: one for the table and one for each of its "
        f"{indexes} indexes. D1's free plan allows {FREE_ROWS_A_DAY:,} a day; there MAX_NEW_PER_RUN={most} "
        f"spreads the {new:,} new rows over {-(-new // most):,} daily runs"
    )
