"""Child processes that load llama.cpp in the caller's stead: dry runs, lists of devices, quantizing. Importing this loads none of it."""
