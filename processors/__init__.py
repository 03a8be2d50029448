"""Units to rows: pure functions per domain, and the one module that wires them to faust."""
