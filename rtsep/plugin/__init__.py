"""rtsep as a plugin of audio workstations: the engine process behind it, and the bundle that hosts load.

The plugin itself is C (`plugin/`): on the audio thread of its host no Python code runs.
"""
