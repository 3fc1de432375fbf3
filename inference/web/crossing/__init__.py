"""The one place where synchronous code and the event loop meet."""
