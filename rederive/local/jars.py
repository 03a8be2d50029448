"""Kafka's jars: pinned by version and hash in kafka.lock, fetched once per user, then used without a network."""

import hashlib
import logging
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rederive.local.home import locked
from schemas.errors import Failed

log = logging.getLogger(__name__)

KAFKA_VERSION = "4.1.1"


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock: what the file must be."""

    sha256: str
    size: int
    group: str
    artifact: str
    version: str

    @property
    def file(self) -> str:
        """Its name in the cache and in every Maven repository."""
        return f"{self.artifact}-{self.version}.jar"


def jars(maven_repository: str | None) -> list[Path]:
    """The files of Kafka's class path, fetched when they aren't there yet.

    Raises Failed when one can't be fetched, or isn't the file that the lock names.
    """
    folder = cache_folder()
    wanted = _lock()
    missing = [jar for jar in wanted if not _is_there(folder / jar.file, jar)]
    if missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / "lock", seconds=600):
                _fetch([jar for jar in wanted if not _is_there(folder / jar.file, jar)], folder, maven_repository)
        except OSError as error:
            raise Failed(
                f"Kafka's jars can't be kept in {folder}",
                why=str(error),
                mend="make room there, or set XDG_CACHE_HOME to a folder that can be written",
            ) from error
    return [folder / jar.file for jar in wanted]


def cache_folder() -> Path:
    """Where the jars are kept: shared by all homes of a user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rederive" / f"kafka-{KAFKA_VERSION}"


def _lock() -> list[Jar]:
    found = []
    for line in Path(__file__).with_name("kafka.lock").read_text().splitlines():
        sha256, size, coordinates = line.split()
        found.append(Jar(sha256, int(size), *coordinates.split(":")))
    return found


def _is_there(path: Path, jar: Jar) -> bool:
    # a file comes here by a rename after its hash was compared
    try:
        return path.stat().st_size == jar.size
    except OSError:
        return False


def _fetch(wanted: list[Jar], folder: Path, maven_repository: str | None) -> None:
    import requests
    from jgo.maven import MavenContext

    log.info("fetching Kafka %s: %d jars, %d MB, once", KAFKA_VERSION, len(wanted), sum(j.size for j in wanted) >> 20)
    remote = {"central": maven_repository.rstrip("/")} if maven_repository else None
    with tempfile.TemporaryDirectory(dir=folder, prefix="new-") as staging:
        context = MavenContext(repo_cache=Path(staging), remote_repos=remote)

        def fetch(jar: Jar) -> None:
            path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
            if hashlib.sha256(path.read_bytes()).hexdigest() != jar.sha256:
                raise RuntimeError(f"{jar.file} is not the file that was pinned")
            path.replace(folder / jar.file)

        try:
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(fetch, wanted))
        except (requests.RequestException, RuntimeError) as error:
            raise Failed(
                f"Kafka {KAFKA_VERSION} can't be fetched",
                why=_short(error),
                mend="the first start needs Maven Central: connect, or name a mirror in REDERIVE_MAVEN_REPOSITORY, "
                "or a running Kafka in REDERIVE_KAFKA_BOOTSTRAP",
            ) from error


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) < 300 else text[:300] + "…"
