"""`rederive local`: the embedded Kafka and Postgres."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter

if TYPE_CHECKING:
    from rederive.settings import Settings

local = cyclopts.App(name="local", help="The embedded Kafka and Postgres under REDERIVE_HOME (.rederive).")

Json = Annotated[bool, Parameter(name="--json", negative="", help="One JSON object instead of text.")]


@local.command
def start(*, json: Json = False) -> None:
    """Start what doesn't run, and return when both answer.

    They go on running after this command, until `rederive local stop`. After a crash the next start heals them.
    """
    from rederive.local import start as start_both
    from rederive.settings import Settings

    start_both(Settings())
    _show(json=json)


@local.command
def stop(
    *,
    yes: Annotated[bool, Parameter(negative="", help="Don't ask, though a capture is being run.")] = False,
    json: Json = False,
) -> int:
    """Stop both; data and ports stay. Stopping what doesn't run is no error.

    Asks when captures are being run; where there is no terminal it needs --yes then.
    """
    from rederive.cli.output import confirmed, print_json, stderr, stdout
    from rederive.local import stop as stop_both
    from rederive.settings import Settings
    from schemas.errors import UsageError

    settings = Settings()
    if not yes and (running := _at_work(settings)):
        what = f"{', '.join(running)} {'is' if len(running) == 1 else 'are'} being run"
        why = "a run without its services waits 5 minutes for them, then fails; `rederive captures resume` goes on"
        if not sys.stdin.isatty():
            raise UsageError(what, why=why, mend="wait until that is done, or end it (Ctrl+C), or say --yes")
        stderr.print(f"{what}: {why}")
        if not confirmed("stop the services?"):
            return 1
    stopped = stop_both(settings)
    if json:
        print_json({"stopped": stopped})
    else:
        stdout.print("stopped" if stopped else "nothing was running")
    return 0


@local.command
def status(*, json: Json = False) -> int:
    """How each of them is. Exit 0 when both run, 1 otherwise."""
    return _show(json=json)


@local.command
def env(*, json: Json = False) -> int:
    """How to connect, as lines for a shell: set -a; . <(rederive local env).

    The URL carries the password. Exit 1 when they don't run.
    """
    from rederive.cli.output import print_json, stdout
    from rederive.local import endpoints
    from rederive.settings import Settings
    from schemas.errors import Failed

    found = endpoints(Settings())
    if found is None:
        raise Failed("the embedded services don't run", mend="rederive local start")
    variables = {"REDERIVE_KAFKA_BOOTSTRAP": found.kafka_bootstrap, "REDERIVE_DATABASE_URL": found.database_url}
    if json:
        print_json(variables)
    else:
        for name, value in variables.items():
            stdout.print(f"{name}={value}", markup=False)
    return 0


def _at_work(settings: "Settings") -> list[str]:
    """Ids of captures that are being run on these services, as far as their databases say."""
    import psycopg

    from rederive.captures import at_work
    from rederive.database import connect
    from rederive.local import running_database
    from schemas.errors import Failed

    urls = [running_database(settings)]
    if settings.database_url and not settings.kafka_bootstrap:
        urls.append(settings.database_url.get_secret_value())
    found: set[str] = set()
    for url in urls:
        if url:
            # a database that doesn't answer must not keep the services from being stopped
            with suppress(Failed, psycopg.Error), connect(url, application="rederive local stop") as connection:
                found.update(at_work(connection, anywhere=True))
    return sorted(found)


def _show(*, json: bool) -> int:
    from dataclasses import asdict

    from rederive.cli.output import print_json, print_table
    from rederive.local import status as status_of_both
    from rederive.settings import Settings

    services = status_of_both(Settings())
    if json:
        print_json({one.service: asdict(one) for one in services})
    else:
        print_table(
            "Embedded services",
            ["service", "state", "pid", "port", "version", "data"],
            [(one.service, one.state, one.pid, one.port, one.version, one.data) for one in services],
            left=(0, 1, 5),
        )
    return 0 if all(one.state == "running" for one in services) else 1
