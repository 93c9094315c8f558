"""Run file, options and presets, made into one checked value."""
