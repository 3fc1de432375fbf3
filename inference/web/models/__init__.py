"""The inventory's pages: the list, a variant, adding, deleting."""
