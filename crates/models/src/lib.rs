//! Which model files there are: the demo model, the user's own, and those that can be had.
