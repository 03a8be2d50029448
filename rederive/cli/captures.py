"""`rederive captures`: what ran, what became of it, and what can be done with it now."""

import sys
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from rederive.cli.running import SOME, USUAL, BatchSize, Crew, DomainName

captures = cyclopts.App(name="captures", help="Captures: one per run. Everything a run wrote names its capture.")

Json = Annotated[bool, Parameter(name="--json", negative="", help="JSON on stdout instead of text.")]
CaptureId = Annotated[
    str,
    Parameter(help="As `rederive captures list` shows it, such as betfair-20260213-7; or latest, or latest:DOMAIN."),
]
captures.command("rederive.cli.promote:promote", name="promote")
State = Literal["running", "complete", "cancelled", "promoting", "rolling-back", "rolled-back"]


@captures.command(name="list")
def list_captures(
    *,
    domain: Annotated[DomainName | None, Parameter(help="Only captures of this domain.")] = None,
    state: Annotated[State | None, Parameter(help="Only captures that stand so.")] = None,
    since: Annotated[str | None, Parameter(help="Only captures made since this UTC day (2026-02-06), or time.")] = None,
    limit: Annotated[int, Parameter(validator=SOME, help="The newest so many.")] = 20,
    json: Json = False,
) -> None:
    """List captures, the newest first, with their counts.

    Example: rederive captures list --domain finra --state complete --since 2026-02-06
    """
    from dataclasses import asdict

    from rederive import captures as ledger
    from rederive.cli.output import print_json, print_table, stdout
    from rederive.cli.running import moment
    from rederive.database import opened
    from schemas.capture import CaptureState
    from store import captures as stored

    made_since = moment(since, "--since", end=False)
    stand = (CaptureState(state),) if state else ()
    with opened("the list of captures") as connection:
        found = stored.listed(connection, limit=limit, domain=domain, states=stand, since=made_since)
        ways_on = ledger.said(connection, {one.capture_id: one.state for one in found})
    if json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        asked = domain or state or since
        stdout.print("no capture is of what is asked for" if asked else "no capture has been made yet")
        return
    print_table(
        "Captures",
        ["capture", "state", "mode", "made (UTC)", "units", "rows", "updated", "unchanged", "skipped", "errors"],
        [
            (
                one.capture_id, one.state, one.mode + (" (dry run)" if one.dry_run else ""),
                f"{one.created_at:%Y-%m-%d %H:%M:%S}", f"{one.units_done}/{one.units}", one.rows, one.updated,
                one.unchanged, one.skipped, one.errors,
            )
            for one in found
        ],
        left=(0, 1, 2, 3),
    )  # fmt: skip
    for way_on in ways_on:
        stdout.print(way_on, markup=False)


@captures.command
def show(capture: CaptureId, /, *, json: Json = False) -> None:
    """Show one capture: what was asked, its counts, problems by reason with examples, dead units."""
    from rederive import captures as ledger
    from rederive.cli.capture_text import facts
    from rederive.cli.output import print_json, print_table, stdout
    from rederive.database import opened

    with opened("looking at the capture") as connection:
        found = ledger.shown(connection, ledger.named(connection, capture))
    if json:
        print_json(found)
        return
    for name, text in facts(found):
        stdout.print(f"{name:20}{text}", markup=False)
    if found["problems"]:
        print_table(
            "Problems",
            ["reason", "rows", "first", "message"],
            [
                (p["reason"], p["count"], " ".join(map(ledger.said_key, p["keys"])), p["message"])
                for p in found["problems"]
            ],
            left=(0, 2, 3),
        )
    if found["dead"]:
        print_table(
            "Dead units, the first 20",
            ["unit", "range", "why"],
            [(one["unit"], one["range"], one["failure"]) for one in found["dead"]],
            left=(1, 2),
        )


@captures.command
def resume(capture: CaptureId, /, *, crew: Crew = USUAL, batch_size: BatchSize = 500, json: Json = False) -> int:
    """Go on with a capture that was interrupted, killed or cancelled. Units that have an outcome are not done again."""
    return _run_again(capture, crew, batch_size, dead=False, json=json)


@captures.command
def retry(capture: CaptureId, /, *, crew: Crew = USUAL, batch_size: BatchSize = 500, json: Json = False) -> int:
    """Do the dead units of a capture again, once what killed them is mended; else as `resume`.

    A file is read as it is now.
    """
    return _run_again(capture, crew, batch_size, dead=True, json=json)


@captures.command
def cancel(capture: CaptureId, /, *, json: Json = False) -> None:
    """End a running capture: what it has merged stays, the rest is given up until `resume`."""
    from rederive import captures as ledger
    from rederive.cli.output import print_json, stdout
    from rederive.database import opened
    from schemas.words import counted, verb

    with opened("cancelling") as connection:
        capture = ledger.named(connection, capture)
        given_up = ledger.cancel(connection, capture)
    if json:
        print_json({"capture_id": capture, "state": "cancelled", "units_given_up": given_up})
    else:
        stdout.print(f"{capture} is cancelled, {counted(given_up, 'unit')} {verb(given_up, 'is', 'are')} given up")


@captures.command
def rollback(
    capture: CaptureId,
    /,
    *,
    dry_run: Annotated[bool, Parameter(negative="", help="Only say what would change, per table.")] = False,
    yes: Annotated[bool, Parameter(negative="", help="Don't ask.")] = False,
    json: Json = False,
) -> int:
    """Take back what a capture wrote: every row it touched becomes what it would be without it.

    What was derived from its rows goes with them. What other captures and writers outside have said since stays.
    Stopped midway, the same words go on.
    """
    import psycopg

    from rederive import captures as ledger
    from rederive.cli.output import confirmed, print_json, print_table, stderr, stdout
    from rederive.database import opened
    from schemas.errors import UsageError
    from schemas.words import verb
    from sinks.policy import Taken

    with opened("the rollback") as connection:
        capture = ledger.named(connection, capture)
        nothing = ledger.nothing_to_take_back(connection, capture)
        if nothing and not json:
            stdout.print(nothing)
            return 0
        expected = ledger.rollback_preview(connection, capture)
        if dry_run:
            _show_rollback(expected, json=json)
            return 0
        if nothing:
            partition = ledger.is_partition(connection, capture)
            state = "rolled-back" if partition else ledger.find(connection, capture).state
            print_json({"capture_id": capture, "state": state, "tables": expected})
            return 0
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("a rollback changes rows", mend="say --yes, or look first with --dry-run")
            print_table(f"Rollback of {capture}", *_rollback_table(expected))
            if not confirmed(f"roll back {capture}?"):
                return 1
        done: dict[str, Taken] = {}
        try:
            with ledger.rolling_back(connection, capture) as nothing:
                for table, taken in ledger.rollback(connection, capture):
                    done[table] = done.get(table, Taken()) + taken
                    entries = done[table].entries
                    stderr.print(f"{table}: {entries:,} {verb(entries, 'entry', 'entries')} taken out")
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"go on with: {ledger.rollback_again(capture)}") from None
        except psycopg.Error:
            stderr.print(f"what is taken back stays so; go on with: {ledger.rollback_again(capture)}")
            raise
    tables = {table: done.get(table, Taken()).counts() for table in expected}
    if json:
        print_json({"capture_id": capture, "state": "rolled-back", "tables": tables})
    elif nothing:
        stdout.print(nothing)
    elif any(taken.entries for taken in done.values()):
        print_table(f"Rolled back: {capture}", *_rollback_table(tables))
    else:
        stdout.print(f"{capture}: no row to take back; it counts as rolled back now")
    return 0


@captures.command
def verify(
    capture: Annotated[
        str | None, Parameter(help="A run, a partition's capture, a live day, latest, latest:DOMAIN. Default: all.")
    ] = None,
    /,
    *,
    after: Annotated[
        str | None, Parameter(help="TABLE=KEY: look at rows behind it only, as what was interrupted has said.")
    ] = None,
    json: Json = False,
) -> int:
    """Prove that what is stored is as what is kept of its making says; changes nothing, and may run beside live.

    Rows are the fold of their history, counts, problems and origins fit, a live day lacks nothing. Exit: 0 when all
    holds, 1 when something is missing or wrong.
    """
    from rederive.cli.verified import verified

    return verified(capture, after, json=json)


def _rollback_table(expected: dict[str, dict[str, int]]) -> tuple[list[str], list[tuple[object, ...]]]:
    headings = ["table", "entries taken out", "rows changed", "rows deleted"]
    return headings, [(name, *counts.values()) for name, counts in expected.items()]


def _show_rollback(expected: dict[str, dict[str, int]], *, json: bool) -> None:
    from rederive.cli.output import print_json, print_table

    if json:
        print_json({"dry_run": True, "tables": expected})
    else:
        print_table("A rollback would do", *_rollback_table(expected))


def _run_again(capture: str, crew: Crew, batch_size: int, *, dead: bool, json: bool) -> int:
    from rederive import captures as ledger
    from rederive.cli.running import run
    from rederive.database import opened
    from rederive.replayer import Replayer
    from rederive.settings import Settings

    with opened("the capture") as connection:
        capture = ledger.named(connection, capture)
        ledger.check_runnable(connection, capture)
        replayer = Replayer.of(Settings())
        found = replayer.reopen(connection, capture, dead=dead)
    return run(replayer, found, batch_size, crew, json=json)
