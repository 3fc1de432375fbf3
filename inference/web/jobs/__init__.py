"""The jobs page, its rows and its socket."""
