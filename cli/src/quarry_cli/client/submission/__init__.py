"""Before there is a run: a manifest or a call is checked, planned, estimated, previewed, its files uploaded, and it is sent."""
