"""Photos to measure on: a folder, known data sets, and the papers' rules for choosing among them."""
