"""What the fields of FINRA's units are, and how a wrong one is told (finra spec, sections 1.1, 1.3 and 2.1)."""

from datetime import date, datetime
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field

from schemas.finra.partition import check_week_ending, parse_date, tier_code


def _day(value: object) -> object:
    if isinstance(value, str) and (day := parse_date(value)) is not None:
        return day
    if type(value) is date:
        return value
    raise ValueError(f"{value!r} is no date; write YYYY-MM-DD")


def _week(value: object) -> object:
    day = _day(value)
    return check_week_ending(day) if isinstance(day, date) else day


def _tier(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return tier_code(value)


def _moment(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError("must be ISO 8601 text with an offset")
    return datetime.fromisoformat(value)


def _printable(value: object) -> object:
    if isinstance(value, str) and not value.isprintable():
        raise ValueError("must be printable text")
    return value


Day = Annotated[date, BeforeValidator(_day)]
Week = Annotated[date, BeforeValidator(_week)]
Tier = Annotated[str, BeforeValidator(_tier)]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Name = Annotated[str, BeforeValidator(_printable), Field(min_length=1, max_length=255)]
