"""The runtime: written chips, their kernels, and the execution of programs on them."""

# From the top of a checkout, `import runtime` would find this folder and make a second copy of every module in it.
if __name__ != "xbarc.runtime":
    raise ImportError(
        f"this package is xbarc.runtime, but it is being imported as {__name__}: "
        "install the project (pip install .) and import xbarc.runtime",
        name=__name__,
    )
