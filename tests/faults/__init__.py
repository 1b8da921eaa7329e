"""What must not hurt: bad cubes, damaged files, hostile files and names."""
