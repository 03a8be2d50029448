"""`rederive status`, `logs` and `migrate`: how the deployment is."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rederive.cli.running import ANY_NUMBER

Json = Annotated[bool, Parameter(name="--json", negative="", help="One JSON object instead of text.")]


def demo(
    *,
    open_page: Annotated[
        bool,
        Parameter(name="--open", negative="", help="Then show it all on pages, with everything running, until Ctrl+C."),
    ] = False,
) -> int:
    """Do the main job on real input with fresh embedded services, and stop them: nothing else is needed."""
    from rederive.__main__ import run
    from rederive.demo import Demo
    from rederive.settings import Settings

    return Demo(Settings().home / "demo", run, open_page)()


def migrate(*, json: Json = False) -> None:
    """Make the tables, or bring existing ones up to date. Tables that a domain has are adopted; no value is touched."""
    from rederive.cli.output import print_json, stdout
    from rederive.endpoints import resolve_database
    from rederive.migrate import migrate as run_migrations
    from rederive.settings import Settings

    before, after = run_migrations(resolve_database(Settings()))
    if json:
        print_json({"before": before, "after": after})
    else:
        stdout.print(f"at {after} already" if before == after else f"migrated from {before or 'nothing'} to {after}")


def status(
    *,
    watch: Annotated[
        bool, Parameter(name="--watch", negative="", help="Look again every 2 s, until Ctrl+C (exit 130).")
    ] = False,
    json: Annotated[
        bool, Parameter(name="--json", negative="", help="One JSON object instead of text; with --watch one a line.")
    ] = False,
) -> int:
    """Show services, unfinished captures, how far and how fast each lane is, and what is wrong.

    Exit 1 unless both services are ready.
    """
    from rederive.cli import status_text
    from rederive.cli.output import print_json, stderr
    from rederive.settings import Settings
    from rederive.status import look

    settings = Settings()
    if watch:
        status_text.watch(settings, json=json)
    found = look(settings)
    if found.away:
        stderr.print(str(found.away), markup=False)
    if json:
        print_json(found.describe())
    else:
        status_text.show(found)
    return found.exit_code


def logs(
    capture: Annotated[
        str, Parameter(help="Whose log; latest is the one written last, latest:DOMAIN the last one of a domain.")
    ] = "latest",
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="", help="Go on as lines come.")] = False,
    last: Annotated[int, Parameter(validator=ANY_NUMBER, help="Begin with so many lines.")] = 50,
) -> None:
    """Show the log of a run: its producer, agents and sinks. Which file that is stands on stderr.

    With --follow and no id, the log of a run that begins meanwhile comes next.
    """
    from rederive import logs as files
    from rederive.captures import latest_of
    from rederive.cli.output import stderr
    from rederive.settings import Settings
    from schemas.errors import Failed

    home = Settings().home
    domain = latest_of(capture)

    def which() -> Path:
        return files.run_log(home, capture) if domain is None else files.newest(home, domain)

    if not which().exists():
        raise Failed(
            f"there is no log of {capture or repr('')}",
            why=f"{which()} does not exist",
            mend="`rederive captures list`",
        )
    for line in files.lines(
        home, which, follow=follow, last=last, opened=lambda path: stderr.print(f"==> {path} <==", markup=False)
    ):
        sys.stdout.write(line)
        sys.stdout.flush()
