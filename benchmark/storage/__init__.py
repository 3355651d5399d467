"""A run's folder: what it may hold, and writing of which a reader sees all or nothing."""
