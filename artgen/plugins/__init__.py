"""What ``artgen plugin`` does: list, write, install and remove plugin packages; no backend is imported unless it is asked for."""
