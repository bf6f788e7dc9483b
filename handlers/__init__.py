"""What Autopack does about each GitHub event and each slash command: permission, parse, decide.

A handler answers on GitHub where an answer is due and returns the actions for the workflow engine.
"""
