"""Variants that come to this box: downloaded, imported, uploaded, found by a scan; and whether they are still what they were."""
