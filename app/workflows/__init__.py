"""The workflows: a run from its plan to its promotion, durable step by step. They read like the playbook.

Workflow code does no I/O and reads no clock: that is done in steps, each of which is safe to repeat.
"""
