"""Racing's pages: race days, one day's cards and results, a horse."""

from rederive.http.pages import HTML, Pages, page
from rederive.http.routing import Day, Key, Reading, Request, Text
from rederive.racing.routes import days as list_days
from rederive.racing.routes import one_day, one_horse

pages = Pages("rederive.racing", menu=[("days", "Race days")])


@pages.get("/days")
def days(request: Request, reads: Reading, before: Day | None = None) -> HTML:
    """Days that are stored, the newest first."""
    found = list_days(reads, before=before)
    return page(request, "racing/days.html", found=found, before=before)


@pages.get("/days/{day}")
def day(request: Request, day: Day, reads: Reading, region: Text | None = None) -> HTML:
    """The card of a day, with results where they are known."""
    every = one_day(day, reads)["races"]
    races = [race for race in every if not region or race["region"] == region]
    regions = sorted({race["region"] for race in every if race["region"]})
    return page(request, "racing/day.html", day=day, races=races, region=region, regions=regions)


@pages.get("/horses/{horse}")
def horse(request: Request, horse: Key, reads: Reading, before: Text | None = None) -> HTML:
    """A horse, its pedigree, its runs."""
    return page(request, "racing/horse.html", horse=horse, found=one_horse(horse, reads, before=before or None))
