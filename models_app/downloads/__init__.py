"""Variants that come to this box: downloaded, imported from its own disks, uploaded by a browser; and whether they are still
what they were. What runs as a job is registered by models_app.apps.
"""
