#!/usr/bin/env python3
"""The web page in a real Chromium:  tests/web/run.py [NAME...]   NAMEs as unittest's -k has them.

Needs what scripts/setup --web installs. NIBBLE_WEB_URL=http://127.0.0.1:8080 tests against that `nibble serve` (tests
that need certain answers or faults are skipped); without it a mock server is started. Screenshots are in
build/web-screenshots, or NIBBLE_WEB_SHOTS.
"""

import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def main():
    import harness

    loader = unittest.TestLoader()
    if sys.argv[1:]:
        loader.testNamePatterns = [f"*{name}*" for name in sys.argv[1:]]
    try:
        result = unittest.TextTestRunner(verbosity=2).run(loader.discover(str(HERE), "*_test.py"))
    finally:
        harness.stop()
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    print(f"{result.testsRun - failed - len(result.skipped)} passed, {failed} failed")
    return 1 if failed or result.testsRun == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
