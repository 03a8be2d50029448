"""Targets: where the processes of this home are asked for their metrics, as Prometheus' file_sd reads it.

A file per process, which holds a lock on it as long as it lives, so one that was killed is known to be gone.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


def folder(home: Path) -> Path:
    """Where the files are; made when missing."""
    found = home / "metrics"
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


@contextmanager
def listed(home: Path, address: str, labels: dict[str, str]) -> Iterator[None]:
    """List this process under an address meanwhile."""
    _sweep(home)
    place = folder(home) / f"{labels['role']}-{os.getpid()}-{address.rpartition(':')[2]}.json"
    with place.with_suffix(".new").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps([{"targets": [address], "labels": labels}]))
        file.flush()
        place.with_suffix(".new").rename(place)
        try:
            yield
        finally:
            place.unlink(missing_ok=True)


def found(home: Path) -> list[dict[str, Any]]:
    """All that live now, as Prometheus' http_sd wants them."""
    _sweep(home)
    groups: list[dict[str, Any]] = []
    for place in _files(home):
        # It may have ended meanwhile.
        with suppress(OSError, ValueError):
            groups += json.loads(place.read_text())
    return groups


def _sweep(home: Path) -> None:
    """Remove the files of processes that are gone."""
    for place in _files(home):
        with suppress(OSError), place.open() as file:
            if _locked(file):
                place.unlink(missing_ok=True)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _files(home: Path) -> list[Path]:
    return sorted((home / "metrics").glob("*.json"))
