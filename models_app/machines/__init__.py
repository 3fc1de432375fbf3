"""Machines in the database: this one's row, edits, forms."""
