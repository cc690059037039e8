"""The scheduler: keeps as many of our jobs running as the quota allows, and learns when they end."""
