"""A page in the browser that shows and turns a session; its server is a process that attaches to it."""
