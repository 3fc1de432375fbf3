"""The memory checks against NVML's own numbers, on a real card: `make test-gpu`, or `python -m tests.gpu`.

They need an NVIDIA card and a llama.cpp that was built for it. Where either is missing the command says so in one line and ends well. `make test`
leaves this folder out (tests/conftest.py, `collect_ignore`): there they would be nothing but skips.
"""
