"""One capture as text: the facts that `captures show` gives as JSON, for a person."""

from collections.abc import Mapping
from typing import Any

from rederive.cli.figures import clock, count
from schemas.capture import CaptureState
from schemas.live import LIVE

_OUTCOMES = ("updated", "unchanged", "skipped", "errors")
_SAID_ELSEWHERE = ("start", "end", "dated", "begins", "logs")


def facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, text) of what there is to say of a capture as `rederive.captures.shown` gives it, in order."""
    columns = found["columns"]
    half = found["state"] == CaptureState.ROLLING_BACK
    live = found["source"] == LIVE
    said = [
        ("capture", found["capture_id"]),
        ("state", found["state"]),
        ("domain", found["domain"]),
        ("source", found["source"]),
        ("mode", found["mode"] + (" (dry run)" if found["dry_run"] else "")),
        ("asked for", f"what arrives on {found['request']['day']}" if live else asked(found["request"])),
        ("columns", f"{len(columns)}: {', '.join(columns)}" if columns else "all"),
        ("promoted", f"{clock(found['promoted_at'])} UTC" if found["promoted_at"] else ""),
        ("clears", f"what it has computed as NULL, in {', '.join(found['clear'])}" if found["clear"] else ""),
        ("derivation version", str(found["derivation_version"])),
        ("reason", found["reason"]),
        ("made", f"{clock(found['created_at'])} UTC by {found['who']}, number {found['number']}"),
        ("finished", f"{clock(found['finished_at'])} UTC" if found["finished_at"] else ""),
        # What a live capture has in their place are its log's partitions.
        ("", "") if live else ("units", ", ".join(_units(found))),
        ("rows", f"{count(found['rows'])} {'read' if live else 'planned'}"),
        ("", ", ".join(f"{count(found[name])} {name}" for name in _OUTCOMES) + (", before" if half else "")),
        ("still there", _remaining(found["to_take_out"]) if half else ""),
        ("digest", found["digest"]),
        *(("now", sentence) for sentence in found["way_on"]),
    ]
    return [(name, text) for name, text in said if text]


def _remaining(entries: Mapping[str, int]) -> str:
    """What a rollback has still to take out."""
    found = [f"{count(number)} {'entry' if number == 1 else 'entries'} of {table}" for table, number in entries.items()]
    return ", ".join(found) or "no entry"


def _units(found: Mapping[str, Any]) -> list[str]:
    if found["state"] == CaptureState.ROLLING_BACK:
        # Noted as taken back before their rows go.
        return [f"{count(found['units'])}, being taken back"]
    said = [f"{count(found['units_done'])} of {count(found['units'])} done", f"{count(found['units_dead'])} dead"]
    return [*said, f"{count(found['units_removed'])} taken back"] if found["units_removed"] else said


def asked(request: Mapping[str, Any]) -> str:
    """What a capture was asked for: `from … to … (end excluded), all rows, limit 200`."""
    span = f"from {request['start'] or 'the beginning'} to {request['end'] or 'the end'}"
    parts = [span + (" (end excluded)" if request["end"] else "")]
    if dated := request.get("dated"):
        start, end = dated
        parts.append(
            f"payloads of {start or 'the beginning'} to {end or 'the end'}" + (" (end excluded)" if end else "")
        )
    parts += [f"{log}[{partition}] from {offset}" for log, partition, offset in request.get("begins", ())]
    for name, value in request.items():
        if value and name not in _SAID_ELSEWHERE:
            word = name.replace("_", " ")
            text = " ".join(str(one) for one in value) if isinstance(value, list) else str(value)
            parts.append(word if value is True else f"{word} {text}")
    return ", ".join(parts)
