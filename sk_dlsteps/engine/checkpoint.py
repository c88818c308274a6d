"""Trainings that are stored on disk while they run, so that one which was cut off goes on from there."""

from __future__ import annotations

import io
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sk_dlsteps.engine.training_state import restore, state_of

if TYPE_CHECKING:
    from sk_dlsteps.engine.training import Training

# The file that tells whose the others are.
_FIT = "fit.json"


@dataclass(frozen=True)
class Checkpoint:
    """Where a fit stores its trainings, one file for each.

    Attributes
    ----------
    folder : Path
        The fit's own. It comes into being when a training begins, and goes when the fit is done.
    every : int
        Epochs from one time to the next.
    entropy : int
        Root of the fit's seeds: a fit that goes on has those that it began with.
    number : int, default=0
        Of the training: a fit in stages has several.

    """

    folder: Path
    every: int
    entropy: int
    number: int = 0

    @classmethod
    def find(cls, folder: Path, every: int, entropy: int) -> Checkpoint:
        """That of a fit which was cut off, if its folder is there, or of one that begins with these seeds."""
        try:
            entropy = int(json.loads((folder / _FIT).read_text())["entropy"])
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise _unreadable(folder / _FIT, error) from error
        return cls(folder, every, entropy)

    def of_training(self, number: int) -> Checkpoint:
        """That of another of the fit's trainings."""
        return replace(self, number=number)

    @property
    def file(self) -> Path:
        """The training's."""
        return self.folder / f"training_{self.number}.pt"

    def begin(self, training: Training) -> None:
        """Let a training go on from where it was cut off, or store it as it begins: an error comes early then."""
        if self.file.exists():
            try:
                restore(training, torch.load(self.file, map_location="cpu", weights_only=True))
            except Exception as error:
                raise _unreadable(self.file, error) from error
            return
        self._write(self.folder / _FIT, json.dumps({"entropy": self.entropy}).encode())
        self.store(training)

    def store(self, training: Training) -> None:
        """Store what a training has come to."""
        stored = io.BytesIO()
        torch.save(state_of(training), stored)
        self._write(self.file, stored.getbuffer())

    def _write(self, path: Path, content: Any) -> None:
        """Write a file in whole or not at all."""
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise OSError(
                error.errno,
                f"`checkpoint` could not be written to {str(path)!r} ({error.strerror}). What was stored before is "
                "still there, and the same fit goes on from it; make room, or name another folder",
            ) from error

    def remove(self) -> None:
        """Take away what a fit that is done no longer needs."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _unreadable(path: Path, error: Exception) -> ValueError:
    """What is wrong with a file that is no checkpoint of ours."""
    return ValueError(
        f"`checkpoint`: {str(path)!r} is damaged, or none of ours ({type(error).__name__}); delete the folder "
        f"{str(path.parent)!r} to begin that fit anew"
    )
