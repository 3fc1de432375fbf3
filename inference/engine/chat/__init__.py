"""The worker that answers: requests, continuous batching, sampling, and the process that renders chat templates."""
