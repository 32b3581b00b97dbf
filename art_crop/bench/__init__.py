"""Benchmark suites: what is measured, where the work is done, what is kept, and what is reported."""
