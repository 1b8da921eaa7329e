"""From raw survey files to cubes: readers, presets, index, cross-match and assembly."""
