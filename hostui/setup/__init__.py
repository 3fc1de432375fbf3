"""From a fresh clone to an environment that runs: `python -m hostui.setup serve|test|bench`.

Standard library only: it runs before anything is installed. Each step is remembered by a stamp that names what it was made from,
written when the step has succeeded, so a second run does nothing and an interrupted one goes on where it was.
"""
