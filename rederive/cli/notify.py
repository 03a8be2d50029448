"""`rederive notify`: whether notifications get through."""

from typing import Annotated

import cyclopts
from cyclopts import Parameter

notify = cyclopts.App(name="notify", help="Notifications: who is told of runs and of trouble with live.")

Json = Annotated[bool, Parameter(name="--json", negative="", help="One JSON object instead of text.")]


@notify.command(name="test")
def send_test(*, json: Json = False) -> int:
    """Send a message to each address of the setting `notify`, and say which have taken it.

    Exit 1 when one hasn't.
    """
    from dataclasses import asdict

    from rederive.cli.output import print_json, stdout
    from rederive.notices import notice
    from rederive.notifier import tell_all
    from rederive.settings import Settings
    from schemas.errors import UsageError

    settings = Settings()
    if settings.notify is None:
        raise UsageError(
            "nobody is to be notified",
            why="the setting notify is empty",
            mend="set REDERIVE_NOTIFY to addresses that apprise knows, such as mailto://… or slack://…",
        )
    told = tell_all(settings, notice("info", "a test", "Notifications get through.", "rederive status"))
    if json:
        print_json({"told": [asdict(one) for one in told]})
    else:
        for one in told:
            stdout.print(f"address {one.number} ({one.kind}): {'told' if one.delivered else 'not told'}")
    return int(not all(one.delivered for one in told))
