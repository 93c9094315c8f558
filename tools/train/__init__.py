"""How the bundled pair was trained: `python -m tools.train.train` makes the same weights again."""
