"""The root of the command line as cyclopts has it; `rederive.cli.root` puts its commands there."""

import cyclopts

from rederive.cli.root import HELP

app = cyclopts.App(name="rederive", help=HELP, version_flags=["--version"])
