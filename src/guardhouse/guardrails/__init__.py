"""The command engine: what a text would do if it were run, as findings. Pure; work is bounded, never timed."""
