"""Files that are written whole or not at all."""

from __future__ import annotations

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
        If it cannot be written; nothing is left of it then.

    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        with suppress(OSError):
            part.unlink()
