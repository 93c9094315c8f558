"""The run folder: what was asked, what happened, what came of it. The journal is the truth."""
