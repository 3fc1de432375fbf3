"""The worker process: one loaded variant, decoded and served on a Unix socket. No Django here."""
