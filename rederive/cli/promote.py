"""`rederive captures promote`: what was computed in shadow is served."""

import re
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rederive.cli.captures import CaptureId, Json

if TYPE_CHECKING:
    from sinks.policy import Promoted


def promote(
    capture: CaptureId,
    /,
    *,
    dry_run: Annotated[bool, Parameter(negative="", help="Only say what would change, per table.")] = False,
    yes: Annotated[bool, Parameter(negative="", help="Don't ask.")] = False,
    max_changed: Annotated[
        str | None, Parameter(help="Refuse when more than this share of its rows would change, such as 2%.")
    ] = None,
    only_columns: Annotated[
        str | None, Parameter(help="Refuse when a column other than these would change; comma-separated.")
    ] = None,
    clear: Annotated[bool, Parameter(negative="", help="What it has computed as NULL clears what is stored.")] = False,
    json: Json = False,
) -> int:
    """Serve what a capture has kept in shadow (--mode shadow), as if it had superseded now; beside live.

    Says first what would change. Stopped midway, the same words go on. Exit: 1 when a gate refuses.

    Example: rederive captures promote latest:betfair --max-changed 2% --only-columns total_volume
    """
    import psycopg

    from rederive import captures as ledger
    from rederive import promotion
    from rederive.cli.output import confirmed, print_table, stderr
    from rederive.database import opened
    from schemas.capture import CaptureState
    from schemas.errors import Failed, UsageError
    from schemas.words import counted
    from sinks.policy import Promoted

    share = share_of(max_changed)
    with opened("the promotion") as connection:
        capture = ledger.named(connection, capture)
        if nothing := promotion.nothing_to_promote(connection, capture):
            _done(capture, {}, nothing, json=json)
            return 0
        half = ledger.find(connection, capture)
        under_way = half.state is CaptureState.PROMOTING
        if under_way and clear and not half.clear:
            why = "it is half promoted without"
            raise Failed("--clear comes too late", why=why, mend=f"go on with: {promotion.again(capture)}")
        columns = promotion.clearable(connection, capture)
        gates = promotion.Gates(share, columns_named(only_columns, columns))
        clearing = columns if clear else ()
        # Of one that is on its way the gates have let it pass.
        ask = not yes and not dry_run
        # Looking at every row takes a while: only where somebody is to know, or a gate.
        looks = ask or dry_run or (bool(gates) and not under_way) or bool(clearing or half.clear)
        expected = promotion.preview(connection, capture, clearing) if looks else {}
        refused = [] if under_way else gates.refusals(expected)
        if refused or dry_run:
            _show(capture, expected, refused, json=json)
            return int(bool(refused))
        if ask:
            if not sys.stdin.isatty():
                raise UsageError("a promotion changes rows", mend="say --yes, or look first with --dry-run")
            print_table(f"Promotion of {capture}", *_table(expected))
            if not confirmed(f"promote {capture}?"):
                return 1
        if clearing or half.clear:
            values = sum(one.cleared for one in expected.values())
            stderr.print(f"clears {counted(values, 'value')}")
        done: dict[str, Promoted] = {}
        try:
            for table, promoted in promotion.promote(connection, capture, clearing):
                done[table] = done.get(table, Promoted()) + promoted
                stderr.print(f"{table}: {promotion.words(done[table])}")
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"go on with: {promotion.again(capture)}") from None
        except psycopg.Error:
            stderr.print(f"what is promoted stays so; go on with: {promotion.again(capture)}")
            raise
    _done(capture, done, "", json=json)
    return 0


def share_of(text: str | None) -> float | None:
    """A share such as 2% as 0.02. UsageError when it is none."""
    from schemas.errors import UsageError

    if text is None:
        return None
    if not re.fullmatch(r"\d+(\.\d+)?%", text, re.ASCII):
        raise UsageError(f"--max-changed {text!r} is no share", mend="write it as per cent: --max-changed 2%")
    if (share := float(text[:-1]) / 100) > 1:
        raise UsageError(f"--max-changed {text!r} refuses nothing", mend="say at most 100%")
    return share


def columns_named(text: str | None, known: "tuple[str, ...]") -> tuple[str, ...]:
    """The columns named. UsageError for one that the capture hasn't computed."""
    from schemas.errors import UsageError

    if text is None:
        return ()
    names = tuple(filter(None, (name.strip() for name in text.split(","))))
    if not names:
        raise UsageError(f"--only-columns {text!r} names no column", mend="leave it out, or name columns")
    if strange := [name for name in names if name not in known]:
        raise UsageError(f"--only-columns {strange[0]!r} is unknown", mend=f"it has computed {', '.join(known)}")
    return names


def _table(expected: "dict[str, Promoted]") -> tuple[list[str], list[tuple[object, ...]]]:
    headings = ["table", "rows", "change", "values cleared", "columns that change"]
    rows: list[tuple[object, ...]] = []
    for name, one in expected.items():
        columns = sorted(one.columns.items(), key=lambda item: -item[1])
        rows.append((name, one.rows, one.changed, one.cleared, ", ".join(f"{c} {n}" for c, n in columns)))
    return headings, rows


def _described(tables: "dict[str, Promoted]", *, done: bool) -> dict[str, dict[str, object]]:
    expected = ("entries", "rows", "changed", "cleared", "columns")
    names = ("entries", "rows", "changed", "gone") if done else expected
    return {table: {name: getattr(one, name) for name in names} for table, one in tables.items()}


def _show(capture: str, expected: "dict[str, Promoted]", refused: list[str], *, json: bool) -> None:
    from rederive.cli.output import print_json, print_table, stderr

    if json:
        tables = _described(expected, done=False)
        print_json({"capture_id": capture, "promoted": False, "refused": refused, "tables": tables})
        return
    print_table("A promotion would do", *_table(expected))
    for one in refused:
        stderr.print(f"not promoted, a gate refuses: {one}")


def _done(capture: str, done: "dict[str, Promoted]", nothing: str, *, json: bool) -> None:
    from rederive.cli.output import print_json, print_table, stdout

    if json:
        print_json({"capture_id": capture, "promoted": True, "refused": [], "tables": _described(done, done=True)})
    elif nothing:
        stdout.print(nothing)
    else:
        rows = [(name, one.rows, one.changed, one.gone) for name, one in done.items()]
        print_table(f"Promoted: {capture}", ["table", "rows", "changed", "lost"], rows)
