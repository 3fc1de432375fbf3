"""What lies in memory, what could leave it, and what it would cost to bring back."""
