"""The articles' claims as experiments: a page of code each, run by `python -m tutorials.experiments`.

A page is a file here; what it claims, how it is measured and what came out is in the table of README.md. The package
`lab` runs the pages. results/ holds what full runs gave.
"""
