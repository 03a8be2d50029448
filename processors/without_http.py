"""faust wants the name of a class of aiohttp, a library that takes as long to import as the rest of faust."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


class NoHttpClient:
    """What agents have for a client: they have no web, and ask nobody."""


@contextmanager
def without_http() -> Iterator[None]:
    """While this is open whoever imports aiohttp gets that name, afterwards the library; nothing if it is there."""
    if "aiohttp" in sys.modules:
        yield
        return
    package, client = ModuleType("aiohttp"), ModuleType("aiohttp.client")
    client.ClientSession = NoHttpClient  # type: ignore[attr-defined]
    stand_ins = {package.__name__: package, client.__name__: client}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]
