"""The same work done by others: stored snapshots read, the 52 figures computed, derived rows of NULLs filled.

All compute by the arrays of `processors.betfair`, read and write by the statements of `work.py`. None keeps a history,
notes what it has done, or can be asked where a value came from; only rederive does.
"""
