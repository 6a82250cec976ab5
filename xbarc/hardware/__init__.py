"""Hardware descriptions: their schema, the files and presets that hold them, and their errors."""
