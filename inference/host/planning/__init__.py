"""What the host asks and keeps to plan a load: the inventory, dry runs, ways, the record of what was measured."""
