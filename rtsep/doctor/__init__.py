"""Checks for common problems of live audio on a machine: each function returns findings with remedies."""
