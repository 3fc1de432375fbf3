"""The inventory's rows: registering files, reading them, deleting, who may use them."""
