"""FINRA's captures for their owner: versions side by side, reports, validation after a run, rollback."""
