"""What needs a process: packs carried out, isolated, spread over cores and clusters, watched."""
