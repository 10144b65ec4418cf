"""Names that are nearly a setting's: misspelt ones, and those that other tools use for the same thing."""

import difflib
from collections.abc import Collection, Mapping

from b2d1.errors import harmless

# Names that can only be meant for b2d1 may be less alike.
OURS = ("B2_", "D1_", "B2D1_")
ALIKE, MUCH_ALIKE = 0.85, 0.9
# If one of these is misspelt, a run does more than it should, or reads from or writes to another place.
BOUNDING = frozenset(
    {
        *("B2_PREFIX", "B2_EXCLUDE", "B2_LIST_MODE", "D1_DATABASE_NAME", "D1_DATABASE_ID", "SNAPSHOT_URI"),
        *("MAX_NEW_PER_RUN", "ROWS_PER_PUBLISH", "DRY_RUN"),
    }
)
# The names that the b2 command line and its library, restic, rclone's documents, and Cloudflare's tools use:
# https://b2-command-line-tool.readthedocs.io/ https://restic.readthedocs.io/en/stable/040_backup.html
OTHER_TOOLS = {
    "B2_APPLICATION_KEY_ID": "B2_KEY_ID",
    "B2_ACCOUNT_ID": "B2_KEY_ID",
    "B2_APPLICATION_KEY": "B2_APP_KEY",
    "B2_ACCOUNT_KEY": "B2_APP_KEY",
    "B2_BUCKET_NAME": "B2_BUCKET",
    "B2_ENDPOINT_URL": "B2_ENDPOINT",
    "CLOUDFLARE_DATABASE_ID": "D1_DATABASE_ID",
    "CLOUDFLARE_D1_DATABASE_ID": "D1_DATABASE_ID",
    "CLOUDFLARE_D1_TOKEN": "CLOUDFLARE_API_TOKEN",
}
# Cloudflare's own clients read these: https://github.com/cloudflare/cloudflare-python and the provider
# https://registry.terraform.io/providers/cloudflare/cloudflare/4.52.0/docs
NO_LOOKALIKES = {"CLOUDFLARE_BASE_URL", "CLOUDFLARE_API_BASE_PATH", "CLOUDFLARE_API_KEY", *OTHER_TOOLS}


def misspelt(
    env: Mapping[str, str], optional: Collection[str], known: Collection[str]
) -> list[tuple[str, str]]:
    """Return names that look like an optional setting that is not set, each with the setting's name."""
    unset = [name for name in optional if not env.get(name)]
    return [
        (name, close)
        for name in sorted(set(env) - {*known, *NO_LOOKALIKES})
        for close in difflib.get_close_matches(
            name, unset, n=1, cutoff=ALIKE if name.startswith(OURS) else MUCH_ALIKE
        )
    ]


def other_tools_name(name: str, env: Mapping[str, str]) -> str | None:
    """Return the name under which another tool's setting of the same meaning is set."""
    return next((other for other, ours in OTHER_TOOLS.items() if ours == name and env.get(other)), None)


def lookalike(name: str, env: Mapping[str, str], known: Collection[str]) -> str:
    """Return, in brackets, what may have been meant for a required setting that is not set; or ""."""
    if other := other_tools_name(name, env):
        return f" ({other} is another tool's name for it)"
    if name == "CLOUDFLARE_API_TOKEN" and env.get("CLOUDFLARE_API_KEY"):
        return " (CLOUDFLARE_API_KEY is the global key, which b2d1 does not use: make an API token)"
    if f"\ufeff{name}" in env:
        return " (a byte order mark stands before its name: save the file as UTF-8 without BOM)"
    close = difflib.get_close_matches(name, [key for key in env if key not in known], n=1, cutoff=ALIKE)
    return f" ({harmless(close[0])} is: a misspelling?)" if close else ""
