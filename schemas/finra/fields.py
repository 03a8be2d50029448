"""What the fields of FINRA's units are, and how a wrong one is told (finra spec, sections 1.1, 1.3 and 2.1)."""

from datetime import date, datetime
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator

from schemas.finra.partition import check_week_ending, no_date, parse_date, tier_code
from schemas.payload import aware

_MAX_NAME = 255


def _day(value: object) -> object:
    if isinstance(value, str) and (day := parse_date(value)) is not None:
        return day
    if type(value) is date:
        return value
    wrong = no_date(value) if isinstance(value, str) else "is no date"
    raise ValueError(f"{value!r} {wrong}; write YYYY-MM-DD")


def _week(value: object) -> object:
    day = _day(value)
    return check_week_ending(day) if isinstance(day, date) else day


def _tier(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return tier_code(value)


def _moment(value: object) -> object:
    return value if isinstance(value, datetime) else aware(value)


def _printable(value: object) -> object:
    if isinstance(value, str) and not (value.isprintable() and 0 < len(value) <= _MAX_NAME):
        raise ValueError(f"must be printable text of 1 to {_MAX_NAME} characters")
    return value


Day = Annotated[date, BeforeValidator(_day)]
Week = Annotated[date, BeforeValidator(_week)]
Tier = Annotated[str, BeforeValidator(_tier)]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Name = Annotated[str, BeforeValidator(_printable)]
