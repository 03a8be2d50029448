"""Reports on the Betfair tables (betfair spec, section 8): figures out, nothing changed.

Each report is a function over an open connection that returns frozen dataclasses; `rederive.cli.report_tables` shows
them.
"""
