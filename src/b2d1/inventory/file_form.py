"""The bytes of an inventory, plain or gzipped; what another program made of them is refused by name."""

import gzip
import zlib
from typing import Any, NamedTuple

from b2d1.inventory.json_stream import Bytes

AGAIN = "Copy or download it again, or run `b2d1 inventory` again and check its exit code."
POWERSHELL = (
    "The > of Windows PowerShell writes UTF-16 and can change keys that are not ASCII, so do not convert it. "
    'Make it again with cmd /c "b2d1 inventory > inventory.json", or with PowerShell 7.4 or later.'
)
PAGE = "Open the file to see what the page says, and get the inventory again."
_UNPACK = "Unpack it with {}. b2d1 reads plain and gzipped inventories."


class FormError(ValueError):
    """A file is not an inventory, and its bytes show why; `fix` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class _Form(NamedTuple):
    begins: bytes
    name: str
    fix: str


_GZIP = b"\x1f\x8b"
_LONGEST = 6
_FORMS = (
    _Form(b"\xff\xfe\0\0", "UTF-32 text", AGAIN),
    _Form(b"\xff\xfe", "UTF-16 text", POWERSHELL),
    _Form(b"\xfe\xff", "UTF-16 text", POWERSHELL),
    _Form(b"{\0", "UTF-16 text", POWERSHELL),
    _Form(b"\0{", "UTF-16 text", POWERSHELL),
    _Form(b"PK\x03\x04", "a zip archive", _UNPACK.format("unzip")),
    _Form(b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK.format("zstd -d")),
    _Form(b"BZh", "compressed with bzip2", _UNPACK.format("bunzip2")),
    _Form(b"\xfd7zXZ\0", "compressed with xz", _UNPACK.format("unxz")),
    _Form(b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK.format("7z x")),
    _Form(b"\x04\x22\x4d\x18", "compressed with lz4", _UNPACK.format("lz4 -d")),
    _Form(b"\x1f\x9d", "compressed with compress", _UNPACK.format("uncompress")),
)


class _Peeked:
    """A stream whose first bytes are known and still to be read."""

    def __init__(self, stream: Bytes) -> None:
        self.first = b""
        while len(self.first) < _LONGEST and (more := stream.read(_LONGEST - len(self.first))):
            self.first += more
        self._rest = self.first
        self._stream = stream

    def read(self, size: int) -> bytes:
        first, self._rest = self._rest[:size], self._rest[size:]
        return first or self._stream.read(size)


class _Unpacked:
    """What a gzip file holds."""

    def __init__(self, stream: _Peeked) -> None:
        file: Any = stream
        self._file = gzip.GzipFile(fileobj=file)

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except EOFError:
            raise FormError("the gzip file is cut off", AGAIN) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            if str(error).startswith("Not a gzipped file"):  # its first part was one
                raise FormError("other data follows the gzip data", AGAIN) from None
            raise FormError(f"the gzip data is damaged: {error}", AGAIN) from None


def unpacked(stream: Bytes) -> Bytes:
    """Return the bytes of the JSON document; raise FormError if they cannot be one."""
    plain = _Peeked(stream)
    if not plain.first.startswith(_GZIP):
        return _checked(plain)
    content = _Peeked(_Unpacked(plain))
    if content.first.startswith(_GZIP):
        raise FormError("the file is gzipped twice", _UNPACK.format("gunzip, once"))
    return _checked(content)


def _checked(stream: _Peeked) -> Bytes:
    if not stream.first:
        raise FormError("the file is empty", AGAIN)
    for form in _FORMS:
        if stream.first.startswith(form.begins):
            raise FormError(f"the file is {form.name}", form.fix)
    return stream
