"""Running a box's processes: the supervisor, what ends orphans, locks, logs, strict environment readers, the secret key."""
