"""Outside to units: a module per source."""
