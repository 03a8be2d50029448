"""What counts as a race day on the command line."""

from datetime import UTC, datetime

import pytest

from rederive.cli.running import span
from rederive.racing.commands import Asked
from schemas.errors import UsageError


@pytest.mark.parametrize("text", ["20240518", "2024-W20-6", "2024-05-18T10:00", "2024-5-18", "2024-02-30", "x", ""])
def test_a_race_day_is_written_in_one_way(text: str) -> None:
    with pytest.raises(UsageError, match="--to"):
        Asked(from_="2024-05-18", to=text).request()
    with pytest.raises(UsageError, match="--from"):
        Asked(from_=text).request()


def test_a_day_without_a_next_one_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="9999-12-31"):
        Asked(from_="2024-05-18", to="9999-12-31").request()


def test_a_day_in_its_short_form_is_a_whole_day_where_times_are_taken() -> None:
    assert span("20240518", "20240518") == (datetime(2024, 5, 18, tzinfo=UTC), datetime(2024, 5, 19, tzinfo=UTC))
