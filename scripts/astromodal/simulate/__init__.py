"""Simulated sky: sources of known properties, and the measurements that surveys make of them."""
