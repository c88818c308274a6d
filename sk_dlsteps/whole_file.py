"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_whole(path: Any, content: bytes | memoryview) -> None:
    """Write a file, or what a link points to; an earlier one stays until the new one lies complete on the disk.

    Raises
    ------
    OSError
        If it cannot be written, or something other than a file stands there; nothing is left of it then.

    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EEXIST, "Something other than a file stands there", str(path))
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            if target.exists():
                # Whoever may read the old one may read the new one.
                part.chmod(target.stat().st_mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        with suppress(OSError):
            part.unlink()
