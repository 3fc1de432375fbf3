"""Pages, sockets and APIs: a folder a feature, each with the same few files."""
