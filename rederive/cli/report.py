"""`rederive report`: the reports of all domains; each domain adds its own."""

from typing import Annotated

import cyclopts
from cyclopts import Parameter

report = cyclopts.App(
    name="report", help="Reports on the tables of all domains: figures on stdout, nothing is changed."
)

Json = Annotated[bool, Parameter(name="--json", negative="", help="One JSON object instead of tables.")]
