from json import *  # noqa: F401,F403
from json import dump, dumps, load, loads  # noqa: F401
