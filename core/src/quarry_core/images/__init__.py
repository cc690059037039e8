"""Images as far as their bytes tell them: what they are, and what a model takes. Pure; nothing is decoded."""
