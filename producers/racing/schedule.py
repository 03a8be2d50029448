"""When something is asked for: lines of cron, in UTC, the days of races."""

from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

_NEVER = datetime.min.replace(tzinfo=UTC)


class Schedule:
    """A line of cron, five fields. ValueError when it is none."""

    def __init__(self, line: str) -> None:
        self._line = line
        try:
            CronSim(line, _NEVER)
        except CronSimError as error:
            raise ValueError(f"no line of cron: {error}") from error
        if len(line.split()) != 5:
            raise ValueError("a line of cron has five fields: minute, hour, day, month, day of the week")

    def __str__(self) -> str:
        return self._line

    def last(self, now: datetime) -> datetime:
        """The last time that it names, `now` included."""
        # Going backwards it begins before the second that it is given.
        after = now.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        return next(CronSim(self._line, after, reverse=True), _NEVER)
