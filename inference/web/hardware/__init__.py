"""The hardware page: devices, budgets, and what would fit."""
