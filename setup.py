"""Builds the one extension module; everything else stands in pyproject.toml."""

from setuptools import Extension, setup

KERNEL = "src/trackparse/records/kernel"

setup(
    ext_modules=[
        Extension(
            "trackparse.records.kernel.native",
            sources=[f"{KERNEL}/native.c"],
            depends=[f"{KERNEL}/{name}.h" for name in ("isa", "scan", "grammar", "index", "values")],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=["-O3", "-std=c11", "-Wall", "-Wextra", "-fno-strict-aliasing"],
            py_limited_api=True,
            # Without a compiler the reference takes over, with one warning.
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
