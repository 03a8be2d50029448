"""Words of `./run bench`."""

import subprocess

from tests.program import ROOT


def test_a_benchmark_that_is_not_there_is_said_at_once_with_those_that_are() -> None:
    for word in ("scael", "page", "../bench/live"):
        done = subprocess.run([ROOT / "run", "bench", word], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 2
        said, mend = done.stderr.splitlines()
        assert said == f"there is no benchmark {word}"
        assert {"contest", "live", "scale"} < set(mend.split())
        assert "page" not in mend.split()
