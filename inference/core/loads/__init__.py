"""The words that planning and scheduling share about a load: devices, options, purposes, ways. Imports no other room of the core."""
