"""What can be done with a capture: first what it would do, with counts and the command line, then the button."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse
from psycopg import Connection

from rederive import captures as ledger
from rederive import promotion
from rederive.cli.promote import columns_named, share_of
from rederive.http.captures import Shown, show_capture
from rederive.http.pages.access import MayAct, MayPreview
from rederive.http.pages.jobs import began, jobs_of
from rederive.http.pages.rendering import HTML, page
from rederive.http.routing import Key, Reading, Router, Text, Unknown
from schemas.capture import CaptureState
from schemas.words import counted, verb

router = Router(prefix="/captures", include_in_schema=False, default_response_class=HTML)

ALL = "all"
"""Every capture, where `verify` is asked for."""

_WORDS = {
    "cancel": "Cancel",
    "resume": "Resume",
    "retry": "Retry dead units of",
    "verify": "Verify",
    "promote": "Promote",
    "rollback": "Roll back",
}
_DANGEROUS = ("cancel", "rollback")


@dataclass(frozen=True, slots=True)
class Gates:
    """What a promotion is told: as the command line has it."""

    max_changed: str = ""
    only_columns: str = ""
    clear: bool = False

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Gates":
        """From a form or an address."""
        words = {name: str(said.get(name, "")).strip() for name in ("max_changed", "only_columns")}
        return cls(**words, clear=bool(said.get("clear")))

    def words(self) -> list[str]:
        """As options."""
        pairs = (("--max-changed", self.max_changed), ("--only-columns", self.only_columns))
        return [*(f"{name}={value}" for name, value in pairs if value), *(["--clear"] if self.clear else [])]


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would do: sentences, a table by tables of the domain, why it would not be done."""

    sentences: tuple[str, ...]
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    refused: tuple[str, ...] = ()


@router.get("/{capture}/{action}", dependencies=[MayPreview])
def preview(
    request: Request,
    capture: Key,
    action: Key,
    reads: Reading,
    max_changed: Text = "",
    only_columns: Text = "",
    clear: Text = "",
) -> HTML:
    """What an action would do."""
    gates = Gates.of({"max_changed": max_changed, "only_columns": only_columns, "clear": clear})
    if _known(capture, action) == ALL:
        found, named = Preview(("Every capture is looked at, and nothing is changed.",)), ALL
    else:
        shown = show_capture(capture, reads)
        named = shown.capture_id
        # What looks at all that a capture has computed plans in its own way, and takes long.
        large = action in ("promote", "rollback")
        with (reads.temporary if large else reads.connection)("what that would do") as connection:
            found = _preview(connection, shown, action, gates)
    return page(
        request,
        "capture_action.html",
        capture=named,
        action=action,
        title=f"{_WORDS[action]} {named if named != ALL else 'every capture'}",
        preview=found,
        gates=gates if action == "promote" else None,
        words=_words(named, action, gates),
        danger=action in _DANGEROUS,
        button=_WORDS[action].removesuffix(" of"),
    )


@router.post("/{capture}/{action}", dependencies=[MayAct])
async def act(request: Request, capture: Key, action: Key) -> RedirectResponse:
    """Begin the command."""
    _known(capture, action)
    words = _words(capture, action, Gates.of(await request.form()))
    return began(jobs_of(request).begin(words, f"{_WORDS[action]} {capture}"))


def _known(capture: str, action: str) -> str:
    if action not in _WORDS or (capture == ALL and action != "verify"):
        raise Unknown(f"nothing is called {action}", why=f"there are {', '.join(_WORDS)}")
    return capture


def _words(capture: str, action: str, gates: Gates) -> list[str]:
    # A word that begins with a hyphen would be an option.
    named = [] if capture == ALL else ["--", capture] if capture.startswith("-") else [capture]
    more = {"promote": ["--yes", *gates.words()], "rollback": ["--yes"]}.get(action, [])
    return ["captures", action, *named, *more]


def _preview(connection: Connection, shown: Shown, action: str, gates: Gates) -> Preview:
    unit_count = shown.units - shown.units_done
    open_units = counted(unit_count, "unit")
    match action:
        case "cancel":
            given_up = f"{open_units} {verb(unit_count, 'is', 'are')} given up until somebody resumes it"
            return Preview((f"{given_up}; {counted(shown.updated, 'row')} that it has updated stay.",))
        case "resume":
            return Preview((f"{open_units} without an outcome are sent and derived; what is done isn't done again.",))
        case "retry":
            dead = counted(shown.units_dead, "dead unit")
            return Preview((f"{dead} and {open_units} without an outcome are derived again, by the program as it is.",))
        case "verify":
            return Preview(
                ("It is proven that what is stored is as what is kept of its making says.", "Nothing is changed.")
            )
        case "promote":
            return _promotion(connection, shown, gates)
    return _rollback(connection, shown.capture_id)


def _promotion(connection: Connection, shown: Shown, gates: Gates) -> Preview:
    capture = shown.capture_id
    if nothing := promotion.nothing_to_promote(connection, capture):
        return Preview((nothing,), refused=(nothing,))
    columns = promotion.clearable(connection, capture)
    told = promotion.Gates(share_of(gates.max_changed or None), columns_named(gates.only_columns or None, columns))
    expected = promotion.preview(connection, capture, columns if gates.clear else ())
    under_way = shown.state == CaptureState.PROMOTING
    rows = []
    for name, one in expected.items():
        most = sorted(one.columns.items(), key=lambda item: -item[1])
        rows.append((name, one.rows, one.changed, one.cleared, ", ".join(f"{column} {n:,}" for column, n in most)))
    changed, whole = sum(one.changed for one in expected.values()), sum(one.rows for one in expected.values())
    return Preview(
        (f"{changed:,} of {counted(whole, 'row')} that it has computed would change; all of them are served then.",),
        ("table", "rows", "change", "values cleared", "columns that change"),
        tuple(rows),
        () if under_way else tuple(told.refusals(expected)),
    )


def _rollback(connection: Connection, capture: str) -> Preview:
    if nothing := ledger.nothing_to_take_back(connection, capture):
        return Preview((nothing,), refused=(nothing,))
    expected = ledger.rollback_preview(connection, capture)
    entries = sum(one["entries"] for one in expected.values())
    said = f"{entries:,} {verb(entries, 'entry of it is', 'entries of it are')} taken out; every row that it touched"
    return Preview(
        (f"{said} becomes what it would be without it.",),
        ("table", "entries taken out", "rows changed", "rows deleted"),
        tuple((name, *counts.values()) for name, counts in expected.items()),
    )
