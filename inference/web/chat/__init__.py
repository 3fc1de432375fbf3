"""The chat page and its socket."""
