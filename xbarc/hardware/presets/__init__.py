"""Hardware descriptions that come with xbarc, one TOML file each."""
