"""What people change of a run: cancel, pause, resume, approve; its budget and its share; its errors asked again; all of it erased."""
