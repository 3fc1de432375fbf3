"""What both kinds of worker share: the socket, its connections, loading, and the one thread that decodes."""
