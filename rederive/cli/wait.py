"""`rederive wait`: until something is visible."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from rederive.cli.running import DomainName

if TYPE_CHECKING:
    from rederive.awaited import Awaited

NOW = "now"


def wait(
    domain: DomainName,
    /,
    *,
    key: Annotated[
        str | None,
        Parameter(name=["--key", "--snapshot"], help="Until a row of the first table is there; key parts joined by /."),
    ] = None,
    until: Annotated[
        str | None,
        Parameter(help="Until all is merged that had arrived by a UTC day's end or a time; or `now`, the beginning."),
    ] = None,
    capture: Annotated[str | None, Parameter(help="Until a capture is complete: its id, or latest.")] = None,
    timeout: Annotated[float, Parameter(validator=validators.Number(gte=0), help="At most so many seconds.")] = 60.0,
    json: Annotated[
        bool, Parameter(name="--json", negative="", help="One JSON object on stdout instead of text.")
    ] = False,
) -> int:
    """Wait until a row, everything until a moment, or a whole capture is visible in the tables.

    Exit 1 when it isn't in time, or never will be: the message says where it hangs.
    """
    from rederive import domains
    from rederive.cli.output import print_json, stdout
    from rederive.settings import Settings
    from rederive.waiting import wait as wait_for
    from schemas.errors import Failed, UsageError

    named = [
        option for option, word in (("--key", key), ("--until", until), ("--capture", capture)) if word is not None
    ]
    if len(named) != 1:
        raise UsageError(
            "`rederive wait` waits for one thing",
            why=f"{' and '.join(named)} are given" if named else "none is given",
            mend="say --key, --until or --capture",
        )
    settings = Settings()
    found = domains.find(domain)
    awaited = _awaited(settings.topic_prefix, domain, key, until, capture)
    answer = wait_for(settings, found, awaited, timeout)
    if json:
        print_json({"domain": domain, **answer.describe()})
    elif answer.visible:
        stdout.print(f"{answer.what} (waited {answer.seconds:.1f} s)", markup=False)
    if not answer.visible:
        raise Failed(answer.what, why=answer.why, mend=answer.mend)
    return 0


def _awaited(prefix: str, name: str, key: str | None, until: str | None, capture: str | None) -> "Awaited":
    from rederive import domains
    from rederive.awaited import Completion, Everything, Row
    from rederive.cli.running import moment

    domain = domains.find(name)
    if key is not None:
        return Row(domain, key, prefix)
    if until is not None:
        return Everything(domain, None if until == NOW else moment(until, "--until", end=True), prefix)
    assert capture is not None
    return Completion(domain, capture, prefix)
