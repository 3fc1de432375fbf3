"""The worker processes as the host sees them: started, heard, measured, ended."""
