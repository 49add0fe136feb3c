"""What rtsep costs and gives, beside others, and the page that tells it: `python -m benchmarks COMMAND`.

What it costs on a user's own machine is `rtsep bench`, which comes with the program.
"""
