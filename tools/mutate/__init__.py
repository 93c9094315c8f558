"""Mutation testing: how many small changes to the code do its tests notice? `scripts/mutate --help`.

Made here after a look at the two tools of the field. mutmut 3.8 changes neither the constants of modules and classes
nor properties, whose decorators its trampolines cannot replace, and draws no sample. cosmic-ray 8.7 changes the files
in the working tree itself, has one test command and one time limit a session, and an order that is not seeded. What is
needed is little: single changes to the syntax tree, a seeded sample of them, and for each one the tests that run the
changed line, in a copy of the tree, with a time limit, and a file of outcomes from which a measurement goes on.
"""
