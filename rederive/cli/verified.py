"""What `rederive captures verify` says: a line a check, and what is wrong."""

import shlex

from rederive.checks import Check
from rederive.cli.output import print_json, stdout
from rederive.replayer import Replayer
from rederive.settings import Settings
from rederive.verification import Verification, parsed, said
from schemas.words import counted

_WIDTH = 9


def verified(capture: str | None, after: str | None, *, json: bool) -> int:
    """Run the checks of one capture or of all, and print them; the exit code."""
    from rederive import captures as ledger

    place = parsed(after) if after is not None else None
    replayer = Replayer.of(Settings())
    if capture is not None:
        with replayer.connected("verification") as connection:
            capture = ledger.named(connection, capture)
    verification = Verification(replayer, capture, place)
    checks: list[Check] = []
    try:
        for check in verification:
            checks.append(check)
            if not json:
                _show(check)
    except KeyboardInterrupt:
        if verification.place is None:
            raise
        words = ["rederive", "captures", "verify", *([capture] if capture else []), "--after", said(verification.place)]
        raise KeyboardInterrupt(f"go on with: {shlex.join(words)}") from None
    wrong = [check for check in checks if not check.ok]
    if json:
        print_json({"capture_id": capture, "ok": not wrong, "checks": [check.describe() for check in checks]})
    elif not checks:
        stdout.print("no capture has been made yet" if place is None else "no such table", markup=False)
    else:
        total = sum(check.wrong for check in wrong)
        stdout.print(f"{counted(total, 'fault')} in {counted(len(wrong), 'check')}" if wrong else "all holds")
    return int(bool(wrong))


def _show(check: Check) -> None:
    indent = " " * _WIDTH
    stdout.print(f"{'ok' if check.ok else 'wrong':{_WIDTH}}{check.name}: {check.looked_at}", markup=False)
    for note in check.apart:
        stdout.print(f"{indent}apart: {note}", markup=False)
    for fault in check.faults:
        stdout.print(f"{indent}{_fault(fault)}", markup=False)
    if check.wrong > len(check.faults):
        stdout.print(f"{indent}{check.wrong:,} in all", markup=False)
    for mend in check.mends:
        stdout.print(f"{indent}do: {mend}", markup=False)


def _fault(fault: dict[str, object]) -> str:
    if "table" in fault:
        key = ",".join(map(str, fault["key"]))  # type: ignore[call-overload]
        column = f" {fault['column']}" if fault["column"] else ""
        why = str(fault["why"])
        if fault["served"] is not None or fault["wanted"] is not None:
            values = (_value(fault[name]) for name in ("served", "wanted"))
            why = "served {}, wanted {}".format(*values) + (f": {why}" if why else "")
        return f"{fault['table']} {key}{column}: {why}"
    named = " ".join(f"{name} {fault[name]}" for name in fault if name != "why")
    return f"{named}: {fault['why']}"


def _value(value: object) -> str:
    return "NULL" if value is None else str(value)
