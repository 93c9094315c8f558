"""Problems in, a run folder out."""
