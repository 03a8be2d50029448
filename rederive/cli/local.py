"""`rederive local`: the embedded Kafka and Postgres."""

from typing import Annotated

import cyclopts
from cyclopts import Parameter

from rederive.cli.app import app

local = cyclopts.App(name="local", help="The embedded Kafka and Postgres under REDERIVE_HOME (.rederive).")
app.command(local)

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
def stop(*, json: Json = False) -> None:
    """Stop both; data and ports stay. Stopping what doesn't run is no error."""
    from rederive.cli.output import print_json, stdout
    from rederive.local import stop as stop_both
    from rederive.settings import Settings

    stopped = stop_both(Settings())
    if json:
        print_json({"stopped": stopped})
    else:
        stdout.print("stopped" if stopped else "nothing was running")


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
