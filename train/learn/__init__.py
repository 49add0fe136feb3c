"""Learning: systems and their nets, losses, the training loop, checkpoints, and the export gate."""
