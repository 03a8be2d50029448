"""Plans that were written to files: read again, whatever this program's version wrote them."""

from typing import Any

from producers.source import source_of
from rederive import domains
from schemas.plan import Plan


def read_plan(text: str | bytes) -> Plan[Any]:
    """The plan that a text holds, its locators those of its source.

    ValidationError when it is no plan, UsageError when there is no such domain or source.
    """
    plan: Plan[Any] = Plan.model_validate_json(text)
    source = source_of(domains.find(plan.domain), plan.source)
    units = [unit.model_copy(update={"locator": source.located(unit.locator)}) for unit in plan.units]
    return plan.model_copy(update={"units": tuple(units)})
