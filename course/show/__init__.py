"""Pictures and knobs: no mathematics of their own."""
