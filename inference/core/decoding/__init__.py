"""What the engine decides without llama.cpp: slots and prefixes, grammars, text, threads, generation options."""
