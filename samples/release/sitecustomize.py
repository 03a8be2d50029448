"""Other releases of the formulas, for who wants to see a repair: ahead on PYTHONPATH, this has Python run them.

    PYTHONPATH=samples/release:. RELEASE_WRONG=betfair.market_derived_metrics.home_book_risk_l3 rederive live betfair
    PYTHONPATH=samples/release:. RELEASE_NEWER=1 rederive replay-topic betfair --mode shadow

With RELEASE_WRONG, columns with commas between them, each of these is computed as half of what it is. With
RELEASE_NEWER all domains' derivation versions are higher by that number, as those of a fix would be.
"""

import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_NEWER = int(os.environ.get("RELEASE_NEWER", "0"))
_WRONG = {name.partition(".")[0] for name in os.environ.get("RELEASE_WRONG", "").split(",") if name}


class _Releases(MetaPathFinder):
    """Finds the modules that domains stand in, and changes these as they are loaded."""

    def __init__(self) -> None:
        self._looking = False

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        domain, _, module = rest.partition(".")
        if self._looking or package != "schemas" or module != "tables":
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            loaded = spec.loader.exec_module

            def exec_module(made: ModuleType) -> None:
                loaded(made)
                shipped = getattr(made, domain.upper())
                other = replace(shipped, derivation_version=shipped.derivation_version + _NEWER)
                if domain in _WRONG:
                    from samples.release import wrong

                    wrong.right[domain] = shipped.process
                    other = replace(other, process=f"samples.release.wrong:{domain}")
                setattr(made, domain.upper(), other)

            spec.loader.exec_module = exec_module  # type: ignore[assignment, method-assign]
        return spec


if _NEWER or _WRONG:
    sys.meta_path.insert(0, _Releases())
