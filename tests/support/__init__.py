"""What the stories are told with: the real service against an embedded GitHub and recorded models."""
