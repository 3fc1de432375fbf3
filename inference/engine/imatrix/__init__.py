"""The worker that reads a text and collects an importance matrix."""
