"""Runs read back: figures, comparisons, exports."""
