"""OSC: tablets and programs control a session by Open Sound Control, through an attached process."""
