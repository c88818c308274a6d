"""Files of safetensors, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# The entry of the file's metadata that is ours, and the most that it may hold: safetensors itself reads no more.
_ENTRY, MAX_TEXT = "sk_dlsteps", 50_000_000


def write(path: Any, text: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file; an earlier one of that name stays until the new one is complete.

    Raises
    ------
    ValueError
        If the text is too long.
    OSError
        If the file cannot be written; nothing is left of it then.

    """
    tensors = _safetensors().numpy
    if len(text) > MAX_TEXT:
        raise ValueError(
            f"the model has {len(text):,} characters beside its arrays, more than a file of safetensors takes"
        )
    content = tensors.save(dict(arrays), metadata={_ENTRY: text})
    # What a link points to is replaced, and not the link.
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise OSError(error.errno, f"the model was not saved, {error.strerror}", str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def read(path: Any) -> tuple[str, dict[str, np.ndarray]]:
    """The text and the arrays of a file.

    Raises
    ------
    OSError
        If it cannot be opened; a FileNotFoundError if there is none.
    ValueError
        If it is no such file, or a damaged one.

    """
    safetensors = _safetensors()
    with Path(path).open("rb") as whole:
        size = whole.seek(0, os.SEEK_END)
    try:
        with safetensors.safe_open(os.fspath(path), framework="np") as file:
            text = (file.metadata() or {}).get(_ENTRY)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except Exception as error:
        raise ValueError(f"{path} is no whole file of safetensors ({size} bytes): {error}") from error
    if text is None or len(text) > MAX_TEXT:
        raise ValueError(f"{path} is a file of safetensors, but holds no model of sk_dlsteps")
    return text, arrays


def _safetensors() -> Any:
    """The package, imported only now: it is optional."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError('`save` and `load` need safetensors: pip install "sk_dlsteps[export]"') from error
    return safetensors
