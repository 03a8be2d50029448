"""`rederive explain`: where one stored value comes from."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from rederive.cli.running import DomainName

if TYPE_CHECKING:
    from rederive.explanation import Explanation

_LISTED = 40
_SHOWN_CHARS = 100


def explain(
    domain: DomainName,
    words: Annotated[
        tuple[str, ...], Parameter(name="[TABLE] KEY COLUMN", help="Key parts are joined by /; see the documentation.")
    ],
    /,
    *,
    json: Annotated[
        bool, Parameter(name="--json", negative="", help="One JSON object on stdout instead of text.")
    ] = False,
) -> int:
    """Explain a stored value: what wrote it, from which record and inputs, computed again, and its rivals.

    Nothing is changed, and no API is asked. Exit: 1 when the value computed again is another one.

    Example: rederive explain betfair 900001 home_risk
    """
    from contextlib import closing

    from rederive import domains
    from rederive.cli.output import print_json
    from rederive.explanation import explain as look
    from rederive.named_rows import table_of
    from rederive.raw_records import RawRecords
    from rederive.replayer import Replayer
    from rederive.settings import Settings
    from schemas.errors import UsageError

    if len(words) not in (2, 3):
        why = f"{len(words)} words follow the domain"
        raise UsageError(
            "a value has a key and a column", why=why, mend=f"rederive explain {domain} [TABLE] KEY COLUMN"
        )
    *named, key, column = words
    of = domains.find(domain)
    table = table_of(of, named[0] if named else None, column)
    replayer = Replayer.of(Settings())
    with (
        replayer.connected("explanation") as connection,
        closing(RawRecords(of, replayer.services(connection, dry=True))) as records,
    ):
        found = look(records, table, key, column)
    if json:
        print_json(found.describe())
    else:
        _show(found)
    return int(found.again is not None and not found.again.equal)


def _show(found: "Explanation") -> None:
    from rederive.cli.output import print_table, stdout

    key = "/".join(found.key.values())
    stdout.print(f"{found.table.name} {key} {found.column.name}", style="bold", markup=False)
    facts = [("value", _short(found.claims.value)), ("why", found.why), *_of_capture(found), *_of_record(found)]
    for name, said in facts:
        stdout.print(f"{name:<10}{said}", markup=False)
    if found.record:
        inputs = found.record.traced.inputs
        rows = [
            (one.line, one.path or "(the line)", _short(one.value), "used" if one.used else "not used", one.note)
            for one in sorted(inputs, key=lambda one: not one.used)[:_LISTED]
        ]
        stdout.print()
        print_table("Inputs", ["line", "path", "value", "", "why"], rows, left=(1, 2, 3, 4))
        if len(inputs) > _LISTED:
            stdout.print(f"and {len(inputs) - _LISTED:,} more: --json lists all", markup=False)
    if found.again is not None:
        said = "the same" if found.again.equal else "another value than the capture has kept"
        stdout.print(f"computed again from just these: {_short(found.again.value)}, {said}", markup=False)
    for why in found.unread[:3]:
        stdout.print(f"not read: {why}", markup=False)
    if found.ranked:
        stdout.print()
        print_table("What was said of it, the highest rank first", *_of_ranked(found), left=(1, 2, 3, 6, 7))


def _of_capture(found: "Explanation") -> list[tuple[str, str]]:
    capture, made = found.capture, found.made
    if capture is None or made is None:
        return []
    facts = [
        ("capture", f"{capture.capture_id}, {capture.mode}, of version {capture.derivation_version}, {capture.state}"),
        ("made", f"{made.created_at:%Y-%m-%d %H:%M:%S} UTC by {made.who}{f': {made.reason}' if made.reason else ''}"),
    ]
    if capture.derivation_version != found.domain.derivation_version:
        facts.append(("", f"this program computes by version {found.domain.derivation_version}"))
    return facts


def _of_record(found: "Explanation") -> list[tuple[str, str]]:
    record = found.record
    if record is None:
        return []
    where = f"{record.origin or 'not sent'}, read from {record.read_from}"
    unit = [] if record.unit is None else [("unit", f"{record.unit} ({record.key_range})")]
    return [("record", where), *unit]


def _of_ranked(found: "Explanation") -> tuple[list[str], list[tuple[Any, ...]]]:
    headings = ["rank", "what", "capture", "observed (UTC)", "version", "arrival", "value", ""]
    rows = [
        (
            one.rank, one.claim.kind, one.claim.capture_id or "-",
            f"{one.claim.observed:%Y-%m-%d %H:%M:%S}" if one.claim.observed else "-", one.claim.derivation_version,
            one.claim.arrival, _short(one.claim.value), one.note,
        )
        for one in found.ranked
    ]  # fmt: skip
    return headings, rows


def _short(value: object) -> str:
    import orjson

    if isinstance(value, str):
        text = value
    elif value is None:
        text = "NULL"
    else:
        text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
