"""One request from any door: who asks, what for, with how much patience; waits, prefill, tokens and an end come out."""
