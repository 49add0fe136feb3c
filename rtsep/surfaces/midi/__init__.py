"""MIDI controllers: their ports, what they send, the map from knobs to controls, and what they show."""
