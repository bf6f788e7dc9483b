"""Pure rules: states, plan, strategy, budgets, findings, policy, CI verdict. No I/O, no clock, pydantic alone."""
