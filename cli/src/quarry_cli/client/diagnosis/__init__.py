"""What went wrong: the errors of a run by code, all that is known of one record, and what the services logged."""
