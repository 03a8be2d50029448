"""The current folder is data: neither the program nor its workers import what lies there.

`python -m` puts it ahead of everything, an empty entry of PYTHONPATH puts it anywhere: a random.py would be run. Only
what `os` and `sys` are is imported here: they are there before anything is looked for.
"""

import os
import sys

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib imports much


def _named() -> list[str]:
    """The folders that PYTHONPATH names."""
    return [os.path.abspath(one) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]  # noqa: PTH100


def leave_current_folder() -> None:
    """Take the current folder off the search path, unless PYTHONPATH names it or the program itself lies there."""
    try:
        here = os.getcwd()  # noqa: PTH109
    except OSError:
        # It has been deleted.
        here = ""
    if here not in (_ROOT, *_named()):
        sys.path[:] = [one for one in sys.path if one not in ("", here)]


def environment() -> dict[str, str]:
    """Variables with which a child finds what this process finds, and nothing in its current folder."""
    named = _named()
    if _ROOT not in named and os.path.basename(_ROOT) not in ("site-packages", "dist-packages"):  # noqa: PTH119
        # A checkout, found by the current folder or by whatever the caller did: a child would not find it.
        named.append(_ROOT)
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(named)}
