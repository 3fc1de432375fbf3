"""What a person may see and name."""
