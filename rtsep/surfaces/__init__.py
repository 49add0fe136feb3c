"""What a player touches: MIDI controllers, and what else turns the controls while it plays."""
