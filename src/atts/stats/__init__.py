"""The statistics: pure numpy, no I/O, no clock, no hidden randomness."""
