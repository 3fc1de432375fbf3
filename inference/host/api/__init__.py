"""The host's one public door: its client and the messages that travel."""
