"""GitHub as Autopack uses it. Every function may be repeated: it looks before it creates, so nothing is done twice."""
