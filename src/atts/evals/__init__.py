"""Experiments: problems in, a run folder out."""
