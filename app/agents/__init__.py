"""The three roles that a model plays: Planner, Builder and Auditor."""
