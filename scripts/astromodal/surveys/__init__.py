"""The surveys: what each measures, in which columns, units and grids."""
