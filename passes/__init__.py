"""The passes of the compiler: one file a pass, named by what it does."""

# From the top of a checkout, `import passes` would find this folder and make a second copy of every module in it.
if __name__ != "xbarc.passes":
    raise ImportError(
        f"this package is xbarc.passes, but it is being imported as {__name__}: "
        "install the project (pip install .) and import xbarc.passes",
        name=__name__,
    )
