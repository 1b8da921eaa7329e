"""The simulated sky: sources of known truth, and all that surveys would measure of them."""
