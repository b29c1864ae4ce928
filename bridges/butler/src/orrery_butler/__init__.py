"""A bridge between Orrery's subprocess driver and a Butler repository."""
