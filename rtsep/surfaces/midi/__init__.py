"""MIDI controllers: their ports, what they send, the map from knobs to controls, and what they show.

A message takes this way; each file is one step:

systems   MIDI systems of the machine, through rtmidi
names     match of the user's text with the names of ports
links     open ports, read
process   the process that holds the ports; `protocol`: its messages; `ports`: the session's side
messages  bytes to events (7- and 14-bit controllers, NRPNs, notes, program changes) and back
map       knobs, pads and keys by control, from a TOML file; `follow` reads a changed file again
turn      effect of an event on its control: buttons, endless knobs, soft takeover
feedback  lights, rings and motor faders after a change
surface   all of it as one surface of a session; `learn`: an entry for the knob that moves
jack_watch  workarounds for rtmidi on a JACK server
"""
