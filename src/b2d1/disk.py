"""What to do when a file cannot be written or read: by the operating system's own reason."""

import errno

_FORBIDDEN = "This user may not read or write there: change the permissions."
_NO_FOLDER = "A part of the path is a file, and not a folder."
HINTS = {
    errno.ENOSPC: "The disk is full: free some space.",
    errno.EDQUOT: "This user's disk quota is used up: free some space, or raise the quota.",
    errno.EFBIG: "The file grew larger than a limit allows: raise `ulimit -f` or the file system's limit.",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: "The file system is read-only.",
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,  # of a folder that was to be made
    errno.EISDIR: "The path is a folder's: add the name of a file.",
    errno.ENAMETOOLONG: "A name in the path is too long.",
    errno.ELOOP: "The path has too many symbolic links.",
    errno.EIO: "The disk or the network file system failed: check it.",
    errno.ESTALE: "The network file system failed: check it.",
}


def disk_hint(failure: OSError, elsewhere: str, otherwise: str = "") -> str:
    """Return the hint for a failure; `elsewhere` says how to choose another place.

    `otherwise` is the hint for a failure whose reason is not in the table.
    """
    known = HINTS.get(failure.errno or 0)
    return f"{known} {elsewhere}".strip() if known else otherwise or elsewhere
