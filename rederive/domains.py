"""The domains there are: found by entry points, each loaded when it is asked for.

A distribution offers one in its pyproject.toml: `[project.entry-points."rederive.domains"]`, name = "module:object".
"""

import logging
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path

from schemas.domain import Domain
from schemas.errors import Failed, UsageError

GROUP = "rederive.domains"

log = logging.getLogger(__name__)


@cache
def _offered() -> dict[str, EntryPoint]:
    """Entry points by the name of their domain, the shipped ones first."""
    found = {one.name: one for one in (*_of_checkout(), *entry_points(group=GROUP))}
    return dict(sorted(found.items(), key=lambda item: (not _is_shipped(item[1]), item[0])))


def _is_shipped(one: EntryPoint) -> bool:
    return one.dist is None or one.dist.name == "rederive"


def _of_checkout() -> list[EntryPoint]:
    """Those of a checkout that nobody has installed."""
    try:
        distribution("rederive")
    except PackageNotFoundError:
        import tomllib

        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
        return [EntryPoint(name, value, GROUP) for name, value in project["entry-points"][GROUP].items()]
    return []


def names() -> tuple[str, ...]:
    """The names of all domains; nothing is loaded."""
    return tuple(_offered())


def known(name: str) -> str:
    """The name itself. UsageError when there is no such domain."""
    if name not in _offered():
        import difflib

        near = difflib.get_close_matches(name, names(), n=1)
        mend = f"did you mean {near[0]}?" if near else "`rederive replay --help` shows what there is"
        raise UsageError(f"there is no domain {name}", why=f"known are {', '.join(names())}", mend=mend)
    return name


@cache
def find(name: str) -> Domain:
    """The domain of that name. UsageError when there is none, Failed when it can't be loaded."""
    offered = _offered()[known(name)]
    try:
        domain = offered.load()
    except Exception as error:
        raise broken(name, "loaded", f"{offered.value}: {type(error).__name__}: {error}") from error
    if not isinstance(domain, Domain) or domain.name != name:
        raise broken(name, "used", f"{offered.value} is no Domain of that name")
    return domain


def broken(name: str, done: str, why: str) -> Failed:
    """The message of what can't be done with a domain, which those who offer it have to mend."""
    offered = _offered()[name]
    mend = f"mend or remove the distribution that offers it: {offered.dist.name if offered.dist else 'rederive'}"
    return Failed(f"the domain {name} can't be {done}", why=why, mend=mend)


def shipped() -> list[Domain]:
    """The domains of this distribution, whose tables its migrations make."""
    return [find(name) for name, one in _offered().items() if _is_shipped(one)]


def usable() -> list[Domain]:
    """All domains that can be loaded; the others are said in the log."""
    found = []
    for name in names():
        try:
            found.append(find(name))
        except Failed as error:
            log.warning("%s", error)
    return found
