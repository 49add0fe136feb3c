"""A page in the browser that shows and controls a session; its server is a process that attaches to it."""
