"""Training of the models that rtsep plays: data, nets, losses, evaluation and the export gate.

The runtime never imports this package. Run it as `python -m train COMMAND`.
"""
