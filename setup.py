"""Builds the one extension module; everything else stands in pyproject.toml."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "trackparse._kernel",
            sources=["src/trackparse/_kernel.c"],
            depends=[f"src/trackparse/_{name}.h" for name in ("isa", "scan", "grammar", "index", "values")],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=["-O3", "-std=c11", "-Wall", "-Wextra", "-fno-strict-aliasing"],
            py_limited_api=True,
            # Without a compiler the reference takes over, with one warning.
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
