"""The script that a good engineer writes in an afternoon: pages, arrays, binary COPY into a stage, one UPDATE a page.

    python -m bench.contenders.script_batched [PROCESSES]

Each process has its own range of ids. No Kafka; a page that has failed is begun again by hand.
"""

import subprocess
import sys
from itertools import pairwise

from bench.contenders.work import compute, connect, fill, ids, pages


def main(processes: int) -> None:
    """Fill all rows; SystemExit when a process fails."""
    with connect() as connection:
        first, last = ids(connection)
    cuts = [first + (last - first + 1) * number // processes for number in range(processes + 1)]
    ranges = [(start, end - 1) for start, end in pairwise(cuts)]
    others = [
        subprocess.Popen([sys.executable, "-m", "bench.contenders.script_batched", "range", str(start), str(end)])
        for start, end in ranges[1:]
    ]
    part(*ranges[0])
    codes = [other.wait() for other in others]
    if any(codes):
        raise SystemExit("a process failed")


def part(first: int, last: int) -> None:
    """Fill the rows of these ids."""
    with connect() as reading, connect() as writing:
        for page in pages(reading, first, last):
            fill(writing, list(compute(page)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["range", start, end]:
            part(int(start), int(end))
        case [processes]:
            main(int(processes))
        case _:
            main(1)
