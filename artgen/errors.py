"""The errors a user can meet: one sentence each, with the exit code the command line returns.

A message says what was given, what is allowed and what to type next.
"""

from __future__ import annotations


class ArtgenError(Exception):
    """Something failed for a reason the user can act on; the command line exits with 1."""

    exit_code = 1


class UsageError(ArtgenError, ValueError):
    """What was typed (or passed) cannot be done; the command line exits with 2."""

    exit_code = 2


class OptionError(UsageError):
    """An option is unknown, or its value is outside what its declaration allows."""


class UnknownBackendError(UsageError):
    """No backend, modality or verb of that name is installed."""


class UnusableBackendError(ArtgenError):
    """A plugin is installed but cannot be used; the message names its distribution and the reason."""


class SourceError(UsageError):
    """A file or folder given as input cannot be used."""


class DatasetError(UsageError):
    """A dataset folder is missing, damaged or of another modality."""


class ModelError(UsageError):
    """A model folder is missing, damaged or belongs to another backend."""


class TrainingError(ArtgenError):
    """Training cannot go on: a loss that is not finite, a run that does not match its options."""


class OutputError(ArtgenError):
    """A result cannot be written: no space, no permission, an unknown file ending."""


class FullDiskError(OutputError):
    """There is no space left where a file was to be written; ``path`` is that file."""

    def __init__(self, path: object, advice: str = "free some space or choose another --output") -> None:
        super().__init__(f"{path}: the disk is full; {advice}")
        self.path = path


class Interrupted(ArtgenError):  # noqa: N818 - a request of the user, not a failure
    """Ctrl-C or SIGTERM after the state was saved; the command line exits with 130."""

    exit_code = 130
