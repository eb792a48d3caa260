"""Lines and event times as Arrow: schemas of tables, rows of segments, counts of windows. No Beam."""
