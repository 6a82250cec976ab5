"""What Python programs call: compile, load, write a chip, run, evaluate."""
