"""What it costs: each benchmark paces its calls as live audio does and keeps its outliers."""
