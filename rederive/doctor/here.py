"""Checks of this machine and this program: libraries, settings of domains, credentials, disk."""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from rederive import domains
from rederive.doctor.findings import Finding, Verdict
from rederive.settings import TOML_FILE, Settings
from schemas.domain import Domain, load
from schemas.errors import Failed, RederiveError
from schemas.words import counted

_GIB = 2**30
_LEAST_DISK = 2 * _GIB
_SHOWN = ("confluent-kafka", "psycopg", "pydantic", "faust-streaming", "polars", "pyarrow")


def libraries() -> Iterator[Finding]:
    """What is installed against what the program asks for."""
    from packaging.requirements import Requirement

    wrong = []
    wanted = [Requirement(line) for line in _requirements()]
    for one in wanted:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{one.name} is missing")
            continue
        if not one.specifier.contains(installed, prereleases=True):
            wrong.append(f"{one.name} is {installed}, wanted is {one.specifier}")
    shown = ", ".join(f"{name} {version}" for name in _SHOWN if (version := _version(name)))
    if wrong:
        mend = "install the program again: `pip install .`, or from a checkout any `./run` command"
        yield Finding("libraries", shown, Verdict.WRONG, "; ".join(wrong), mend)
    else:
        yield Finding("libraries", f"{counted(len(wanted), 'requirement')} met: {shown}")


def _requirements() -> list[str]:
    try:
        return metadata.requires("rederive") or []
    except metadata.PackageNotFoundError:
        import tomllib

        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
        return list(project["dependencies"])


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def installed() -> Iterator[Finding]:
    """The domains, each as it is loaded."""
    well = []
    for name in domains.names():
        try:
            well.append(f"{name} (derivation version {domains.find(name).derivation_version})")
        except RederiveError as error:
            yield Finding(f"domain {name}", error.what, Verdict.WRONG, error.why, error.mend)
    yield Finding("domains", ", ".join(well))


def credentials(settings: Settings, meant: Sequence[Domain]) -> Iterator[Finding]:
    """Whether what the services and the domains' sources ask for is there, and kept from others. No value is shown."""
    user = f" as {settings.kafka_sasl_username}" if settings.kafka_sasl_username else ""
    yield Finding("credentials kafka", f"{settings.kafka_security_protocol}{user}")
    path = Path(TOML_FILE)
    secrets = {"kafka_sasl_password", "database_url"} & settings.model_fields_set
    of_file = [name for name in secrets if settings.source(name) == TOML_FILE]
    if of_file and path.exists() and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        why = f"{TOML_FILE} holds {' and '.join(sorted(of_file))}, and others may read it"
        yield Finding(
            "credentials file", oct(path.stat().st_mode & 0o777), Verdict.WRONG, why, f"chmod 600 {TOML_FILE}"
        )
    for domain in meant:
        for part in domain.settings:
            name = domain.name
            try:
                load(part)()
                yield Finding(f"settings {name}", f"{part.rpartition(':')[2]} can be used")
            except Failed as error:
                # Who doesn't use that source needs none.
                yield Finding(f"settings {name}", error.what, Verdict.NOTE, error.why, error.mend)


def disk(settings: Settings) -> Iterator[Finding]:
    """What is free where logs, and embedded services, are kept."""
    home = settings.home
    there = next(path for path in (home, *home.parents) if path.exists())
    usage = shutil.disk_usage(there)
    value = f"{usage.free / _GIB:,.1f} of {usage.total / _GIB:,.1f} GiB free at {home}"
    if not os.access(there, os.W_OK):
        yield Finding(
            "disk", value, Verdict.WRONG, f"{there} can't be written to", "set REDERIVE_HOME to a folder of yours"
        )
    elif usage.free < _LEAST_DISK:
        why = f"less than {_LEAST_DISK // _GIB} GiB: logs of runs and embedded services stop when it is full"
        yield Finding("disk", value, Verdict.WRONG, why, "free some, or set REDERIVE_HOME elsewhere")
    else:
        yield Finding("disk", value)
