"""The harness: trains methods, scores models, writes tables and plots."""
