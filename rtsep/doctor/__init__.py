"""What commonly ruins live audio on a machine: one function a probe, each says what it saw and what to do."""
