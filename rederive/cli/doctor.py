"""`rederive doctor`: what a deployment needs to be well."""

from datetime import datetime
from typing import Annotated

from cyclopts import Parameter

from rederive.cli.program import Json
from rederive.cli.running import DomainName


def doctor(
    domain: DomainName | None = None,
    /,
    *,
    from_: Annotated[
        str | None, Parameter(name="--from", help="Also: whether logs reach back to this UTC day, or time.")
    ] = None,
    json: Json = False,
) -> int:
    """Look at services, topics, tables, permissions, disk, clock, credentials and libraries; say what mends them.

    Starts and changes nothing, and waits 12 s for each at most. Exit 1 when something needs a person.
    """
    from dataclasses import asdict

    from rederive.cli.output import print_json, stdout
    from rederive.cli.running import moment
    from rederive.doctor.examination import Asked, examine

    since: datetime | None = moment(from_, "--from", end=False)
    findings = []
    for found in examine(Asked((domain,) if domain else (), since)):
        findings.append(found)
        if not json:
            stdout.print(f"{found.verdict:<8}{found.check:<28}{found.value}", markup=False)
            for name, text in (("why:", found.why), ("do:", found.mend)):
                if text:
                    stdout.print(f"{'':36}{name:<5}{text}", markup=False)
    code = int(not all(one.well for one in findings))
    if json:
        print_json({"well": not code, "checks": [asdict(one) for one in findings]})
    elif code:
        stdout.print(f"{sum(not one.well for one in findings)} of {len(findings)} need a person")
    else:
        stdout.print("all is well")
    return code
