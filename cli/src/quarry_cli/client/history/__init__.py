"""What has been: what runs have cost, and who did what."""
