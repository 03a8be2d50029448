"""FINRA's partitions: tiers, week endings, what a file's name says, capture ids (finra spec, sections 1.1, 2 and 3)."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta

from schemas.payload import OUTSIDE_YEARS, lies_outside

DOMAIN_NAME = "finra.otc_transparency"
"""How pipelines and capture ids name the domain."""

BACKFILL_TIERS = ("OTC", "OTC_BLOCKS", "ATSB", "ATS")
TIERS = (*BACKFILL_TIERS, "NMS_TIER_1", "NMS_TIER_2")
"""The tiers; a backfill that names none takes the first four."""

TIER_ALIASES = {"TIER1": "NMS_TIER_1", "TIER2": "NMS_TIER_2"}

WINDOW_WEEKS = 6

_FRIDAY = 4
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COMPACT_DATE = re.compile(r"[0-9]{8}")
_COMPACT_AT_END = re.compile(r"(?<![0-9])[0-9]{8}$")
_ENDINGS = re.compile(r"(?:\.(?:csv|psv|txt|gz))+$", re.IGNORECASE)
_WEEK_STEM = re.compile(r"week_([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})(?![0-9])")
_NMS_HINT = re.compile(r"tier_?([12])(?![0-9])")
# Names of one tier hold the word of another: `finra_otc_weekly_ats_20251222`, `otc_blocks`.
_TIER_HINTS = tuple(
    (code, re.compile(rf"(?:^|[_\-. ]){code.lower().replace('_', '[_. -]')}(?=$|[_\-. ])"))
    for code in ("OTC_BLOCKS", "ATSB", "ATS", "OTC")
)


def tier_code(name: str) -> str:
    """The tier that a person means: a code or an alias, without regard to case; ValueError lists the codes."""
    plain = name.strip().upper()
    code = TIER_ALIASES.get(plain, plain)
    if code not in TIERS:
        raise ValueError(f"{name!r} is no tier; the tiers are {', '.join(TIERS)} (also tier1, tier2)")
    return code


def parse_date(text: str) -> date | None:
    """A date of a file or a person: `YYYY-MM-DD` with anything behind it, or `YYYYMMDD`; None when it is none."""
    trimmed = text.strip()
    if _ISO_DATE.match(trimmed):
        return _date(trimmed[:10])
    return _date(trimmed) if _COMPACT_DATE.fullmatch(trimmed) else None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def no_date(text: str) -> str:
    """What is wrong with a text that `parse_date` doesn't take."""
    if not text.strip():
        return "is empty"
    return f"is {OUTSIDE_YEARS}" if lies_outside(text.strip()) else "is no date"


def _within_calendar(week: date) -> date:
    """The week itself; ValueError for one at an end of the calendar, around which no window fits."""
    if week.year in (date.min.year, date.max.year):
        raise ValueError(f"the week {week} is at the calendar's end")
    return week


def check_week_ending(day: date) -> date:
    """The day itself when it is a Friday; ValueError names the nearest Friday otherwise (section 2.1)."""
    _within_calendar(day)
    if day.weekday() == _FRIDAY:
        return day
    ahead = (_FRIDAY - day.weekday()) % 7
    nearest = day + timedelta(days=ahead if ahead <= 3 else ahead - 7)
    raise ValueError(
        f"{day} is a {_WEEKDAYS[day.weekday()]}, and a week ends on a Friday: the nearest is {nearest.isoformat()}"
    )


def week_of_publication(day: date) -> date | None:
    """The last Friday strictly before the day of publication; None when the calendar has no such day."""
    try:
        return day - timedelta(days=(day.weekday() - _FRIDAY - 1) % 7 + 1)
    except OverflowError:
        return None


def window(week_ending: date, weeks: int = WINDOW_WEEKS) -> tuple[date, ...]:
    """The Fridays of the window that ends at a week, oldest first."""
    return tuple(week_ending - timedelta(weeks=back) for back in reversed(range(weeks)))


def fridays(start: date, end: date) -> list[date]:
    """All Fridays from start to end, both included."""
    first = start + timedelta(days=(_FRIDAY - start.weekday()) % 7)
    return [first + timedelta(weeks=n) for n in range((end - first).days // 7 + 1)]


def months(start: date, end: date) -> Iterator[tuple[date, date]]:
    """The calendar months of a range as (first day, last day), whole ones but for the range's own ends."""
    while start <= end:
        following = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        last = min(end, following - timedelta(days=1))
        yield start, last
        start = following


def stem(file_name: str) -> str:
    """A file's name without folder and endings, in lower case."""
    return _ENDINGS.sub("", re.split(r"[/\\]", file_name)[-1]).lower()


def date_of_name(file_name: str) -> date | None:
    """The file date that its name says: `YYYYMMDD` at the stem's end, else `YYYY-MM-DD` anywhere (section 2.1)."""
    name = stem(file_name)
    if (compact := _COMPACT_AT_END.search(name)) and (found := _date(compact[0])):
        return found
    return next((day for text in _ISO_DATE.findall(name) if (day := _date(text))), None)


def week_of_name(file_name: str) -> date | None:
    """The week that a name of the form `week_2025-12-26` says; such a name does not say the file date."""
    said = _WEEK_STEM.match(stem(file_name))
    return _date(said[1]) if said else None


def date_of_file(
    file_date: date | None, file_name: str, first_update: Callable[[], date | None] = lambda: None
) -> date | None:
    """A file's date (section 2.1): the one given, else the name's, else what `first_update` reads; None without any."""
    if file_date is not None:
        return file_date
    name = stem(file_name)
    week = _WEEK_STEM.match(name)
    return date_of_name(name[week.end() :] if week else name) or first_update()


def tier_of_name(file_name: str) -> str | None:
    """The tier that a file's name hints at, None when it doesn't (section 2.1)."""
    name = stem(file_name)
    if nms := _NMS_HINT.search(name):
        return f"NMS_TIER_{nms[1]}"
    return next((code for code, hint in _TIER_HINTS if hint.search(name)), None)


def tier_of_file(tier: str | None, file_name: str) -> str:
    """The tier of a file's batch: the one given, else the name's hint; ValueError when neither says it."""
    if tier is not None:
        return tier_code(tier)
    hint = tier_of_name(file_name)
    if hint is None:
        raise ValueError(f"the name {file_name!r} says no tier; give one of {', '.join(TIERS)}")
    return hint


def week_of_file(
    week_ending: date | None,
    file_date: date | None,
    file_name: str,
    first_update: Callable[[], date | None] = lambda: None,
) -> date:
    """The week of a file's batch (section 2.1).

    The week given, else the one that follows from the file date: the one given, the name's, or what `first_update`
    reads, the first row's lastUpdateDate. A name of the form `week_2025-12-26` counts as a week given. ValueError when
    nothing says it, or when it is no Friday.
    """
    if week_ending is not None:
        return check_week_ending(week_ending)
    if file_date is None and (named := week_of_name(file_name)) is not None:
        return check_week_ending(named)
    file_date = date_of_file(file_date, file_name, first_update)
    if file_date is None:
        raise ValueError(
            f"neither the name {file_name!r} nor the first row's lastUpdateDate says a date; give the week or file date"
        )
    week = week_of_publication(file_date)
    if week is None:
        raise ValueError(f"no week ends before {file_date}")
    return _within_calendar(week)


def capture_id(tier: str, week_ending: date, captured_at: datetime) -> str:
    """The id of one capture of a partition (section 3); ValueError when `captured_at` has no offset.

    Six hex digits may clash: the key column is unique, and whoever mints draws again a microsecond later.
    """
    if captured_at.utcoffset() is None:
        raise ValueError(f"captured_at {captured_at.isoformat()} has no offset")
    drawn = hashlib.sha256(f"{tier}|{week_ending.isoformat()}|{captured_at.isoformat()}".encode()).hexdigest()[:6]
    return f"{DOMAIN_NAME}:{tier}:{week_ending.isoformat()}:{drawn}"


def partition_of(capture: str) -> tuple[date, str]:
    """The week and tier of a capture id; ValueError when it is none."""
    parts = capture.split(":")
    if len(parts) != 4 or parts[0] != DOMAIN_NAME:
        raise ValueError(f"{capture!r} is no capture of a partition: {DOMAIN_NAME}:TIER:WEEK:HASH")
    return date.fromisoformat(parts[2]), parts[1]


def partition_key(week_ending: date, tier: str) -> str:
    """A partition as the core tables name it: JSON with sorted keys (section 4)."""
    return json.dumps({"tier": tier, "week_ending": week_ending.isoformat()}, sort_keys=True)
