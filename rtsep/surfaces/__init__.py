"""Surfaces: MIDI controllers and everything else that changes the controls while a session plays."""
