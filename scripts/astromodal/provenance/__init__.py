"""What a result was made from, and what it took: digests of code, time and memory of jobs."""
