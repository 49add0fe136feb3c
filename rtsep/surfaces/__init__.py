"""What a player touches: MIDI today by its ports; the map, the terminal view and presets are to come."""
