"""Git work on local disk: bare mirrors, a worktree per run, patches, sandboxed commands.

Everything that a model, a patch or a repository supplies is untrusted here: paths are confined to the worktree
(`paths`), git runs without hooks, user configuration or prompts (`git`), commands run in a sandbox (`sandbox`).
"""
