"""What has to be done again: digests of code, stamps of cubes, records of runs."""
