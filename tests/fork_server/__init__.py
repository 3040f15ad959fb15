"""Processes that tests start by forking a warm process, because imports take most of a start.

A worker's start is 3 s of processor time for importing torch and transformers and 0.2 s for
everything else; a command's is 0.1 s and 0.03 s. So each test run has two servers, each one a
process that has imported a set of modules and does nothing but fork:

* ``parent`` forks commands and daemons, which tests start with `tests.fork_server.client`;
* ``worker`` forks workers, which the daemon under test starts with subprocess as ever. In place of
  Python it starts `tests.fork_server.stub`, which stands for the worker in the process tree.

A forked process has its own arguments, environment, folder and descriptors, runs its module as
``__main__`` and ends as Python ends. What differs from a real start: the imports, Python's own
options, and that it is not a child of the process that asked for it.

Tests marked ``real_processes`` start everything for real, and so do all tests where forking is not
safe (macOS) or not wanted (``OCRD_TEST_FORKS=0``). A process whose environment changes what Python
or torch do at their start is always real.
"""
