"""The scheduler: keeps as many of our jobs running as the quota allows, and finds out when they end."""
