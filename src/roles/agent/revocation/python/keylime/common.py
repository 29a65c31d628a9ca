import os

WORK_DIR = os.environ.get("KEYLIME_DIR", "/var/lib/keylime")
