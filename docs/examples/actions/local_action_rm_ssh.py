"""Takes the SSH key of a revoked machine out of authorized_keys, and, on the revoked machine itself, its own keys.

Put it into the payload directory next to an action_list that names it.
"""
import glob
import os
import tempfile

import keylime.secure_mount as secure_mount
from keylime import crypto, keylime_logging

logger = keylime_logging.init_logging("local_action_rm_ssh")
SSH_DIRECTORY = os.path.expanduser("~/.ssh")
AUTHORIZED_KEYS = os.path.join(SSH_DIRECTORY, "authorized_keys")
OWN_KEYS = ("payload_id_rsa", "payload_id_rsa.pub")


async def execute(event):
    serial = (event.get("metadata") or {}).get("cert_serial")
    if event.get("type") != "revocation" or serial is None:
        logger.error("not a revocation of a certificate: %s", event.get("type"))
        return
    unzipped = os.path.join(secure_mount.mount(), "unzipped")
    own = crypto.load_certificate(os.path.join(unzipped, "mycert.crt"))
    if own.serial_number == int(serial):
        remove_own_keys()
    else:
        remove_authorized(unzipped)


def remove_own_keys():
    """A machine that failed may well not do this; it is for one that failed by mistake."""
    for name in OWN_KEYS:
        try:
            os.remove(os.path.join(SSH_DIRECTORY, name))
            logger.info("%s removed", name)
        except FileNotFoundError:
            pass


def remove_authorized(unzipped):
    """The payload's public keys are those of the machine that was let in."""
    revoked = set()
    for path in glob.glob(os.path.join(unzipped, "payload_id_*.pub")):
        with open(path, encoding="utf-8") as f:
            revoked.add(f.read().split()[1])
    try:
        with open(AUTHORIZED_KEYS, encoding="utf-8") as f:
            lines = f.readlines()
    except FileNotFoundError:
        return
    kept = [line for line in lines if not revoked.intersection(line.split())]
    if len(kept) < len(lines):
        replace(AUTHORIZED_KEYS, kept)
        logger.info("%d keys removed from %s", len(lines) - len(kept), AUTHORIZED_KEYS)


def replace(path, lines):
    """Whole or not at all: sshd must never read half of the file."""
    old = os.stat(path)
    fd, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(fd, "w", encoding="utf-8") as f:
        f.writelines(lines)
    os.chmod(temporary, old.st_mode & 0o7777)
    os.chown(temporary, old.st_uid, old.st_gid)
    os.rename(temporary, path)
