"""The words that planning and scheduling share about a load: devices, options, purposes, resident ids, ways. Imports no other room of the core."""
