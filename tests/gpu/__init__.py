"""The memory checks against NVML's own numbers, on a real card: `make test-gpu`, or `python -m tests.gpu`.

They need an NVIDIA card and a llama.cpp that was built for it. Where either is missing the command says so in one line and ends well. `make test`
leaves this folder out (tests/conftest.py, `collect_ignore`): there they would be nothing but skips.

Everything but test_life needs the packages of an engine alone, pytest and pytest-timeout: they run on machines where hostui is not set
up. `--store` keeps the figures, met or not, as tests/bench/results/gpu-CARD.json; other arguments are pytest's. test_life and test_no_memory
fill the card for some seconds: whatever else uses it may then find no memory.
"""
