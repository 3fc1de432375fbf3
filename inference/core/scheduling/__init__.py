"""Who is in memory, who waits, who leaves: events in, effects out, no clock and no I/O of its own."""
