"""Asking the Hugging Face Hub and its cache on this disk; every way it can go wrong is a sentence."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artgen.backend import SILENT, Progress
from artgen.errors import ModelError, OutputError
from artgen.files import flush, write_atomically
from artgen.hub import licences

_SPARE = 2**28  # bytes of a disk that a download leaves free


@dataclass(frozen=True)
class Listing:
    """What the Hub (or, when it is out of reach, its cache) says of a model; ``remote`` where files may have to be fetched."""

    revision: str
    licence: str
    files: dict[str, int]
    folder: Path
    remote: bool


def listing(repository: str, revision: str = "") -> Listing:
    """The files of ``repository`` at ``revision`` (a branch, tag or commit; the main branch when empty), with their bytes.

    Raises:
        ModelError: no such model or revision, no way in, or no network and nothing in the cache.
    """
    from huggingface_hub import HfApi, constants

    kept, found = _kept(repository, revision), None
    offline = constants.is_offline_mode()
    if not offline:
        with told(repository, revision, cached=kept is not None):
            info = HfApi().model_info(repository, revision=revision or None, files_metadata=True)
            files = {item.rfilename: int(item.size or 0) for item in info.siblings or []}
            licence = licences.named(info.card_data or {})
            found = Listing(str(info.sha), licence, files, _snapshots(repository) / str(info.sha), True)
    if found is not None:
        return found
    if kept is None:
        why = "no such folder, not downloaded before, and HF_HUB_OFFLINE is set"
        raise ModelError(f"{repository}: {why}; unset it to download the model, or give a folder")
    return Listing(kept.name, "", listed(kept), kept, False)


def fetched(repository: str, revision: str, name: str) -> Path:
    """Where one small file of a model is on this disk, downloaded when it was not there.

    Raises:
        ModelError: it cannot be fetched.
    """
    from huggingface_hub import hf_hub_download

    with told(repository, revision):
        return Path(hf_hub_download(repository, name, revision=revision))
    raise AssertionError("unreachable: without a cached copy told() raises")


def fetch(repository: str, revision: str, files: Mapping[str, int], progress: Progress = SILENT, branch: str = "") -> None:
    """Download ``files`` (bytes by name) into the Hub's cache, each from where an earlier download stopped.

    ``branch`` is what ``revision`` is the newest commit of: the cache remembers it for when the Hub cannot be asked.

    Raises:
        ModelError: the Hub cannot be reached or refuses, or a file is not what the Hub says it is.
        OutputError: the disk has no room, or cannot be written.
    """
    folder = _snapshots(repository) / revision
    missing = {name: size for name, size in files.items() if not (folder / name).exists()}
    if missing:
        _get(repository, revision, missing, progress)
    if branch and branch != revision:
        write_atomically(folder.parents[1] / "refs" / branch, revision.encode())


def _get(repository: str, revision: str, missing: Mapping[str, int], progress: Progress) -> None:
    from huggingface_hub import hf_hub_download

    folder = _snapshots(repository) / revision
    _require_room(repository, sum(missing.values()), folder)
    progress.start(f"downloading {repository}", sum(missing.values()) / 1e6, "MB")
    try:
        for name in sorted(missing, key=lambda name: (missing[name], name)):
            with told(repository, revision):
                _download(repository, revision, name, progress)
                hf_hub_download(repository, name, revision=revision)  # the blob is there: this links it
    finally:
        progress.finish()


def listed(folder: Path) -> dict[str, int]:
    """Every file below ``folder`` with its bytes, by its path from there; hidden ones are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            found[name.as_posix()] = path.stat().st_size
    return found


@contextlib.contextmanager
def told(repository: str, revision: str = "", *, cached: bool = False) -> Iterator[None]:
    """Turn what goes wrong inside into a sentence; with ``cached`` a Hub that is out of reach is passed over in silence.

    Raises:
        ModelError: see there.
        OutputError: the disk is full or cannot be written.
    """
    try:
        yield
    except (ModelError, OutputError):
        raise
    except Exception as error:
        _require_disk(error, repository)
        if (cannot := _unreachable(error)) and cached:
            return
        refused = _refused(error, repository, revision)
        if not cannot and not refused:
            raise
        out = f"no such folder, and the Hub cannot be reached ({_first_line(error)}); connect, or give a folder"
        raise ModelError(f"{repository}: {refused or out}") from None


def _refused(error: Exception, repository: str, revision: str) -> str:
    """What the Hub means by ``error`` and what to do about it; empty when it is none of the Hub's answers."""
    from huggingface_hub import errors, get_token

    known, page = get_token() is not None, f"https://huggingface.co/{repository}"
    sign_in = "sign in with: hf auth login (or set HF_TOKEN)"
    if isinstance(error, errors.GatedRepoError):
        does = "your account has not been let in yet; ask for it there" if known else f"accept them there, then {sign_in}"
        return f"its authors let in only who accepts their conditions ({page}); {does}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"has no revision {revision}; see {page}/tree/main"
    if isinstance(error, errors.RepositoryNotFoundError):
        does = "your token may not see it" if known else f"for a private one {sign_in}"
        return f"no such folder, and no model of that name on the Hub; check the name ({does})"
    if isinstance(error, errors.HFValidationError):
        return "no such folder, and no name that the Hub could have; give a folder or OWNER/NAME"
    if isinstance(error, errors.HfHubHTTPError):
        if (status := getattr(error.response, "status_code", 0)) == 401:
            return f"the Hub does not know you; {sign_in}"
        return f"the Hub answers with status {status} ({_first_line(error)}); try again later, or give a folder"
    return ""


def _require_disk(error: Exception, repository: str) -> None:
    """Raise the sentence for a fault of the disk, where ``error`` is one."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        raise OutputError(f"{repository}: the disk of the Hub's cache is full; free some space, or set HF_HOME") from None
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        place = error.filename or repository
        raise OutputError(f"{place}: no permission to write there; set HF_HOME to another folder") from None


def _unreachable(error: Exception) -> bool:
    """Whether there is no way to the Hub now: no network, its servers are down, or the wait was too long."""
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError):
        return int(getattr(error.response, "status_code", 0)) >= 500
    return isinstance(error, OSError | errors.LocalEntryNotFoundError) or _is_network(error)


def _is_network(error: Exception) -> bool:
    """Whether ``error`` is of the client that huggingface_hub speaks HTTP with (requests, httpx, httpx2)."""
    return any(kind.__module__.partition(".")[0] in ("httpx", "httpx2", "requests", "urllib3") for kind in type(error).__mro__)


def _kept(repository: str, revision: str) -> Path | None:
    """The snapshot of ``repository`` that the cache has, or None."""
    snapshots = _snapshots(repository)
    reference = snapshots.parent / "refs" / (revision or "main")
    commit = reference.read_text().strip() if reference.is_file() else revision
    folder = snapshots / commit
    return folder if commit and folder.is_dir() else None


def _snapshots(repository: str) -> Path:
    from huggingface_hub import constants

    # The layout of the cache is documented, and shared by all programs that use the Hub.
    return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"


def _require_room(repository: str, size: int, folder: Path) -> None:
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if size + _SPARE > free:
        raise OutputError(
            f"{repository}: takes {size / 1e9:.1f} GB, and {place} has {free / 1e9:.1f} GB free; "
            "free some space, or set HF_HOME to a folder on another disk"
        )


def _download(repository: str, revision: str, name: str, progress: Progress) -> None:
    """Put the content of a file into the cache; what a stopped download left of it is gone on with.

    Raises:
        ModelError: the content does not have the hash that the Hub says.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils._headers import build_hf_headers

    headers = build_hf_headers()
    facts = get_hf_file_metadata(hf_hub_url(repository, name, revision=revision), headers=headers)
    blob = _snapshots(repository).parent / "blobs" / str(facts.etag)
    if blob.exists():
        return
    blob.parent.mkdir(parents=True, exist_ok=True)
    partial = blob.with_name(f"{blob.name}.artgen")
    with partial.open("ab") as file:
        done = file.tell()
        progress.advance(done / 1e6)
        if done < (facts.size or 0) or not facts.size:
            http_get(
                facts.location, file, resume_size=done, headers=headers, expected_size=facts.size, displayed_filename=name,
                tqdm_class=_reporting(progress),
            )  # fmt: skip
    flush(partial)
    if len(blob.name) == 64 and _sha256(partial) != blob.name:
        partial.unlink()
        raise ModelError(f"{repository}: {name} came over damaged; try again")
    partial.replace(blob)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reporting(progress: Progress) -> type[Any]:
    """What huggingface_hub takes for a bar, telling ``progress`` instead."""

    class Bar:
        """Counts bytes."""

        def __init__(self, *args: Any, **settings: Any) -> None:
            pass

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def update(self, amount: float = 1.0) -> None:
            """``amount`` bytes more."""
            progress.advance(amount / 1e6)

        def close(self) -> None:
            """Nothing."""

    return Bar


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
