"""Scores: metrics, evaluation of model files on whole tracks, and robustness measures."""
