"""OSC: tablets and programs that send Open Sound Control turn a session; a process that attaches to it."""
