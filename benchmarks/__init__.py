"""Benchmarks: what mgrec costs beside what a user would pick instead, measured in the same run."""
