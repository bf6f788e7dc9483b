"""The parts of the stories: the real service against an embedded GitHub and recorded models."""
