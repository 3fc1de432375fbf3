"""Facts in, sentences out. Pure."""
