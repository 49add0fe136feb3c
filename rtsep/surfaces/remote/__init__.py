"""A session that plays is read and turned from elsewhere: typed messages, through a socket of its user."""
