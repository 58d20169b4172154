"""conftest.py - one farm for all system tests, and the oracle that judges the money after each of them

Environment: ACQUIT_TEST_DIR (default var/test), ACQUIT_TEST_BUILD (default build): which programs are tested.
"""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "farm"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import farm as farms  # noqa: E402
import world as worlds  # noqa: E402


@pytest.fixture(scope="session")
def farm():
    """A farm of its own beside any other, ended by its process ids after the last test."""
    directory = os.environ.get("ACQUIT_TEST_DIR", os.path.join(farms.ROOT, "var", "test"))
    one = farms.Farm(directory, build=os.environ.get("ACQUIT_TEST_BUILD"), settings=worlds.SETTINGS)
    one.start()
    yield one
    one.stop()


@pytest.fixture
def world(farm):
    """What a test does to the farm; afterwards the oracle: provider's net money = the ledger's = what the caller was told."""
    one = worlds.World(farm)
    one.reset()
    yield one
    one.reset()
    one.judge()
    one.close()
