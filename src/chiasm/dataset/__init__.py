"""Stage 2: the Lance table of records, and the steps that build it."""
