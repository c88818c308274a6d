"""Trainings that are stored on disk while they run, so that one which was cut off goes on from there."""

from __future__ import annotations

import io
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch

from sk_dlsteps.engine.memory import ran_out
from sk_dlsteps.engine.training_state import restore, restored, state_of
from sk_dlsteps.whole_file import write_whole

try:
    import fcntl
except ImportError:  # on Windows, where two fits of the same must not run at once
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from sk_dlsteps.engine.training import Training


@dataclass(frozen=True)
class Checkpoint:
    """Where a fit stores its trainings, one file for each.

    Attributes
    ----------
    folder : Path
        The fit's own. It goes when the fit is done.
    every : int
        Epochs from one time to the next.
    owner : file
        Holds the lock.
    entropy : int or None, default=None
        Root of the fit's seeds: a fit that goes on has those that it began with.
    number : int, default=0
        Of the training: a fit in stages has several.

    """

    folder: Path
    every: int
    owner: IO[bytes]
    entropy: Any = None
    number: int = 0

    @classmethod
    def lock(cls, parent: Path, name: str, every: int) -> Checkpoint:
        """Take a folder for a fit: one of a fit like it that was cut off, if nobody else has it, or a new one."""
        cut_off = sorted(path.parent for path in parent.glob(f"{name}*/training_0.pt"))
        new = (parent / f"{name}_{number}" for number in count(1))
        pairs = ((folder, _lock(folder)) for folder in chain(cut_off, new))
        return next(cls(folder, every, owner) for folder, owner in pairs if owner is not None)

    def unlock(self) -> None:
        """Let the folder go; one that holds nothing goes too."""
        if not self.folder.exists() or [path.name for path in self.folder.iterdir()] == ["lock"]:
            self.remove()
        self.owner.close()

    def with_entropy(self, entropy: Any) -> Checkpoint:
        """The same with the seeds that are stored or, for a fit that begins, these."""
        stored = self._read()
        return replace(self, entropy=entropy if stored is None else stored["entropy"])

    def of_training(self, number: int) -> Checkpoint:
        """That of another of the fit's trainings."""
        return replace(self, number=number)

    @property
    def file(self) -> Path:
        """The training's."""
        return self.folder / f"training_{self.number}.pt"

    def history(self) -> list[dict[str, Any]] | None:
        """The epochs that are stored, those of earlier trainings included; None if none are."""
        stored = self._read()
        return None if stored is None else restored(stored["training"]["history"])

    def begin(self, training: Training) -> None:
        """Let a training go on from where it was cut off, or store it as it begins: an error comes early then."""
        stored = self._read()
        if stored is None or stored["entropy"] != self.entropy:
            self.store(training)
            return
        try:
            restore(training, stored["training"])
        except Exception as error:
            if ran_out(error):
                raise
            raise _damaged(self.file, error) from error

    def store(self, training: Training) -> None:
        """Store what a training has come to, in whole or not at all."""
        content = io.BytesIO()
        torch.save({"entropy": self.entropy, "training": state_of(training)}, content)
        try:
            write_whole(self.file, content.getbuffer())
        except OSError as error:
            raise _unwritten(self.file, error) from error

    def _read(self) -> dict[str, Any] | None:
        """What is stored of the training; None if nothing is."""
        if not self.file.exists():
            return None
        try:
            stored = torch.load(self.file, map_location="cpu", weights_only=True)
            if set(stored) != {"entropy", "training"}:
                raise KeyError("training")
        except Exception as error:
            if isinstance(error, OSError) or ran_out(error):
                raise
            raise _damaged(self.file, error) from error
        return stored

    def remove(self) -> None:
        """Take away what a fit that is done no longer needs."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _lock(folder: Path) -> IO[bytes] | None:
    """Lock a folder, made if need be, until the file is closed or the process ends; None if somebody else has it."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / "lock").open("wb")
        except OSError as error:
            if isinstance(error, FileNotFoundError) and folder.parent.exists() and not folder.exists():
                # Removed in between, as its fit was done.
                continue
            raise _unwritten(folder, error) from error
        if fcntl is None:
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError as error:  # of a file system without locks
            file.close()
            raise _unwritten(folder, error) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(file.name), os.fstat(file.fileno())):
                return file
        file.close()


def _unwritten(path: Path, error: OSError) -> OSError:
    """What is wrong with a place that cannot be written."""
    return OSError(
        error.errno,
        f"`checkpoint` could not be written to {str(path)!r} ({error.strerror}). What was stored before is still "
        "there, and the same fit goes on from it; make room, or name another folder",
    )


def _damaged(path: Path, error: Exception) -> ValueError:
    """What is wrong with a file that is no checkpoint of ours."""
    return ValueError(
        f"`checkpoint`: {str(path)!r} is damaged, or none of ours ({type(error).__name__}); delete the folder "
        f"{str(path.parent)!r} to begin that fit anew"
    )
