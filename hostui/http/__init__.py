"""What stands around every request: middleware, own hosts and origins, bodies, static files, health, the channel layer."""
