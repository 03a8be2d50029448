"""Explanations: where one stored value comes from."""

from contextlib import closing
from typing import Annotated, Any

from fastapi import Request
from pydantic import ConfigDict

from rederive import domains
from rederive.endpoints import running
from rederive.explanation import explain as look
from rederive.http.routing import BaseModel, Key, Query, Reading, Router, Text, Unknown
from rederive.named_rows import table_of
from rederive.raw_records import RawRecords
from rederive.replayer import Replayer
from rederive.settings import Endpoints
from schemas.errors import Away, Failed

router = Router(prefix="/api/domains/{domain}/explain", tags=["explain"])


class Explained(BaseModel):
    """What `rederive explain --json` prints (docs/commands.md)."""

    model_config = ConfigDict(extra="allow")

    domain: str
    table: str
    key: dict[str, str]
    column: str
    type: str
    stored: dict[str, Any]
    why: str
    capture: dict[str, Any] | None
    record: dict[str, Any] | None
    inputs: list[dict[str, Any]]
    computed: dict[str, Any] | None
    current_derivation_version: int
    ranked: list[dict[str, Any]]
    problem: dict[str, Any] | None
    unread: list[str]


@router.get("")
def explain(
    request: Request,
    domain: Key,
    reads: Reading,
    key: Annotated[Text, Query(description="The row: the parts of its key joined by /.")],
    column: Annotated[Text, Query(description="The derived column.")],
    table: Annotated[Text | None, Query(description="Needed where several tables have the column.")] = None,
) -> Explained:
    """What wrote a value, from which record and inputs, computed again from these, and what else was said of it."""
    if domain not in domains.names():
        raise Unknown(f"there is no domain {domain}", why=f"known are {', '.join(domains.names())}")
    of = domains.find(domain)
    named = table_of(of, table, column)
    settings = request.app.state.settings
    bootstrap, url = running(settings)
    if bootstrap is None or url is None:
        raise Away("a service doesn't run", mend="`rederive local start`, or name the services in the settings")
    replayer = Replayer(settings.at(Endpoints(bootstrap, url)), url)
    with (
        reads.connection("the explanation") as connection,
        closing(RawRecords(of, replayer.services(connection, dry=True))) as records,
    ):
        try:
            found = look(records, named, key, column)
        except Away:
            raise
        except Failed as error:
            if error.__cause__ is not None:
                raise
            raise Unknown(error.what, why=error.why, mend=error.mend) from error
    return Explained.model_validate(found.describe())
