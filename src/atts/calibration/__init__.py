"""Recorded scores: files with a fingerprint, arrival orders, and replay through calibrators without any model."""
