"""Which partitions and captures a report is asked about."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import sql

from schemas.errors import UsageError
from schemas.finra.partition import check_week_ending, parse_date, tier_code


@dataclass(frozen=True, slots=True)
class Partitions:
    """A week, a tier, a capture; None is any. `capture` is a run's id or that of a partition's capture."""

    week: date | None = None
    tier: str | None = None
    capture: str | None = None

    @classmethod
    def asked(cls, week: str | None, tier: str | None, capture: str | None = None) -> "Partitions":
        """As a person says them; UsageError for a week that is none or a tier that doesn't exist."""
        try:
            return cls(_week(week) if week else None, tier_code(tier) if tier else None, capture)
        except ValueError as error:
            raise UsageError(str(error), mend="a week is named by its Friday, such as 2025-12-26") from None

    def of_rows(self) -> sql.Composable:
        """A condition on rows of FINRA's tables; the capture may be one that was read."""
        parts: list[sql.Composable] = [sql.SQL("TRUE")]
        if self.week:
            parts.append(sql.SQL("week_ending = {}").format(self.week))
        if self.tier:
            parts.append(sql.SQL("tier = {}").format(self.tier))
        if self.capture:
            parts.append(sql.SQL("{} IN (capture_id, input_capture_id, execution_id)").format(self.capture))
        return sql.SQL(" AND ").join(parts)

    def of_core(self) -> tuple[str, dict[str, Any]]:
        """A condition on rows of the core tables, with its parameters."""
        parts = ["TRUE"]
        if self.week:
            parts.append("partition_key::jsonb ->> 'week_ending' = %(week)s")
        if self.tier:
            parts.append("partition_key::jsonb ->> 'tier' = %(tier)s")
        if self.capture:
            parts.append("%(capture)s IN (capture_id, execution_id)")
        values = {"week": self.week.isoformat() if self.week else None, "tier": self.tier, "capture": self.capture}
        return " AND ".join(parts), values


def _week(text: str) -> date:
    day = parse_date(text)
    if day is None:
        raise ValueError(f"{text!r} is no date")
    return check_week_ending(day)
