"""What a watched box is told from its readings: alarms, history, liveness."""
