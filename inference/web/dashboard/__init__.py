"""What the box is doing: the first page and its socket."""
