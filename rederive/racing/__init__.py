"""What a backfill of race days leaves for its owner: status, gaps, the checkpoint report, the error log, checks."""
