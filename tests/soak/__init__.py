"""Hours of play with faults at random: `make soak`."""
