"""Interfaces of a running session for its surfaces, in this process or another one."""
