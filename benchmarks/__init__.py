"""Cost and quality of rtsep beside other separators, and their page: `python -m benchmarks COMMAND`.

`rtsep bench`, which comes with the program, measures the cost on a user's own machine.
"""
