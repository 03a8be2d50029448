"""Rederive: replay stored raw payloads, recompute the rows derived from them, merge them without losing any.

What a domain is made of, and what runs it from Python (docs/domain.md). Names are imported when they are first used.
"""

from importlib import import_module

# Without `typing`: of what is looked for before rederive/safe_path.py has been run, the current folder comes first.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from producers.gap import Fill as Fill
    from producers.gap import Gap as Gap
    from producers.gap import Looking as Looking
    from producers.log import LogSource as LogSource
    from producers.places import Pack as Pack
    from producers.places import Place as Place
    from producers.source import Begin as Begin
    from producers.source import Dated as Dated
    from producers.source import Page as Page
    from producers.source import Refusal as Refusal
    from producers.source import Request as Request
    from producers.source import Services as Services
    from producers.source import Source as Source
    from producers.source import Split as Split
    from rederive.api import KnownUnit as KnownUnit
    from rederive.api import apply as apply
    from rederive.api import compare as compare
    from rederive.api import plan as plan
    from rederive.api import read as read
    from rederive.api import replay as replay
    from rederive.api import replay_topic as replay_topic
    from rederive.api import units_of as units_of
    from rederive.replayer import Report as Report
    from rederive.settings import Settings as Settings
    from schemas.capture import Capture as Capture
    from schemas.capture import Progress as Progress
    from schemas.domain import Command as Command
    from schemas.domain import Domain as Domain
    from schemas.errors import Failed as Failed
    from schemas.errors import RederiveError as RederiveError
    from schemas.errors import UsageError as UsageError
    from schemas.lane import LaneName as LaneName
    from schemas.outcome import Outcome as Outcome
    from schemas.outcome import RowProblem as RowProblem
    from schemas.outcome import TableRows as TableRows
    from schemas.plan import Locator as Locator
    from schemas.plan import Plan as Plan
    from schemas.plan import PlanHead as PlanHead
    from schemas.plan import PlannedUnit as PlannedUnit
    from schemas.provenance import Input as Input
    from schemas.provenance import Traced as Traced
    from schemas.provenance import Wanted as Wanted
    from schemas.table import Column as Column
    from schemas.table import Mode as Mode
    from schemas.table import Step as Step
    from schemas.table import Table as Table
    from schemas.unit import Unit as Unit
    from sinks.comparing import Compared as Compared
    from sinks.distances import Tolerance as Tolerance

_PLACES = {
    "producers.gap": ("Fill", "Gap", "Looking"),
    "producers.log": ("LogSource",),
    "producers.places": ("Pack", "Place"),
    "producers.source": ("Begin", "Dated", "Page", "Refusal", "Request", "Services", "Source", "Split"),
    "rederive.api": ("KnownUnit", "apply", "compare", "plan", "read", "replay", "replay_topic", "units_of"),
    "rederive.replayer": ("Report",),
    "rederive.settings": ("Settings",),
    "schemas.capture": ("Capture", "Progress"),
    "schemas.domain": ("Command", "Domain"),
    "schemas.errors": ("Failed", "RederiveError", "UsageError"),
    "schemas.lane": ("LaneName",),
    "schemas.provenance": ("Input", "Traced", "Wanted"),
    "schemas.outcome": ("Outcome", "RowProblem", "TableRows"),
    "schemas.plan": ("Locator", "Plan", "PlanHead", "PlannedUnit"),
    "schemas.table": ("Column", "Mode", "Step", "Table"),
    "schemas.unit": ("Unit",),
    "sinks.comparing": ("Compared",),
    "sinks.distances": ("Tolerance",),
}
_HOMES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - the names are said once, above


def __getattr__(name: str) -> "Any":  # noqa: ANN401 - whatever the name means
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
