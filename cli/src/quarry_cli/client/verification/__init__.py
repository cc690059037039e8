"""`quarry verify`: a run counted again from its objects, and held against its report, plan, ledger and source."""
