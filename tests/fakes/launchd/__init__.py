"""A fake of macOS' launchd: a ``launchctl`` that really runs what is bootstrapped.

`install.install` writes the program ``launchctl`` and a folder ``launchd`` next to it, with:

* ``calls``: one JSON list for each call of launchctl.
* ``history``: one JSON object for each start and exit, with ``label``, ``event``, ``pid``, ``code``
  and ``at``. A negative code is a signal.
* ``log``: errors of the fake itself.
* ``pass_environment``, written by a test: names of variables, one per line, that services inherit
  from the process that bootstraps them.
* ``script.json``, written by a test, with any of these keys:

  * ``answers``: ``[{"verb": "bootstrap", "code": 5, "stderr": "...", "times": 2, "hang": 0}]``.
    launchctl then gives this answer and does nothing else.
  * ``no_domain``: ``["gui/501"]``, domains that do not exist.
  * ``drain_polls``: ``print`` still finds a service that was booted out this many times after its
    process has ended.
  * ``no_pid``: bootstrap only registers the service; kickstart starts it.
  * ``throttle``: seconds, instead of each plist's ThrottleInterval.
  * ``disabled_is_5`` and ``old_words``: answers of other versions of macOS.

Where no public documentation says what launchd does, the fake does this: `kickstart` starts a
process immediately whatever ThrottleInterval says, and returns when the new process runs (with
``-k`` after the old one has ended); HOME, USER, SHELL and TMPDIR are those of the process that
bootstraps, so that a test's home stays the test's home.

launchctl keeps no process of its own. Each registered service has a supervisor process, which
starts, stops and reaps the service's process. They share a state file under a lock.

launchctl is called often, so this package imports little, and `launchctl` runs it without the
site-packages. It must therefore import nothing from outside of itself.
"""
