"""racing's formulas: pure."""
