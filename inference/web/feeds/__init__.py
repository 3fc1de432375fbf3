"""Sockets of pages that watch: one subscription a page, with back-pressure."""
