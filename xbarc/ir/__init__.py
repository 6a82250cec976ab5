"""The intermediate representation: one graph type, two levels."""
