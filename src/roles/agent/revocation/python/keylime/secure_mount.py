import os

from keylime import common


def mount():
    """The directory in memory in which the agent keeps secrets; it is mounted already."""
    return os.path.join(common.WORK_DIR, "secure")


def get_secdir():
    return mount()
