"""Services that change a run, one transaction each."""
