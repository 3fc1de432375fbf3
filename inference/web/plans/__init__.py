"""Plans as several pages show them: rows, badges, what-if."""
