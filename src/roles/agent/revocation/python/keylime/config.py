import configparser
import json
import os

from keylime import common

WORK_DIR = common.WORK_DIR
_SETTINGS = json.loads(os.environ.get("KEYLIME_SHIM_SETTINGS", "{}"))
_MISSING = object()


def _text(value):
    return value if isinstance(value, str) else json.dumps(value)


def get(component, option, section=None, fallback=_MISSING):
    """A setting of the agent, as text. Secrets are not handed on."""
    value = _SETTINGS.get(option, _MISSING)
    if value is _MISSING:
        if fallback is _MISSING:
            raise configparser.NoOptionError(option, section or component)
        return fallback
    return _text(value)


def getint(component, option, section=None, fallback=_MISSING):
    return int(get(component, option, section, fallback))


def getfloat(component, option, section=None, fallback=_MISSING):
    return float(get(component, option, section, fallback))


def getboolean(component, option, section=None, fallback=_MISSING):
    value = get(component, option, section, fallback)
    if isinstance(value, bool):
        return value
    return str(value).strip().lower() in ("1", "yes", "true", "on")


def getlist(component, option, section=None, fallback=_MISSING):
    value = get(component, option, section, fallback)
    return json.loads(value) if isinstance(value, str) else value


def get_config(component="agent"):
    """All settings as a ConfigParser with one section."""
    parser = configparser.RawConfigParser()
    parser.read_dict({component: {name: _text(value) for name, value in _SETTINGS.items()}})
    return parser
