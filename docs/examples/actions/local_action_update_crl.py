"""Fetches the authority's revocation list anew when a machine was revoked, checks it, and puts it into secure/unzipped.

nginx and others read a list only at a reload: name the command in RELOAD_COMMAND.
"""
import asyncio
import os
import tempfile

import keylime.secure_mount as secure_mount
from keylime import ca_util, cmd_exec, keylime_logging, tornado_requests

logger = keylime_logging.init_logging("local_action_update_crl")
RELOAD_COMMAND = []  # for example ["systemctl", "reload", "nginx"]
ATTEMPTS = 10


async def execute(event):
    serial = (event.get("metadata") or {}).get("cert_serial")
    if event.get("type") != "revocation" or serial is None:
        logger.error("not a revocation of a certificate: %s", event.get("type"))
        return
    unzipped = os.path.join(secure_mount.mount(), "unzipped")
    authority = os.path.join(unzipped, "cacert.crt")
    url = ca_util.get_crl_distpoint(authority)
    if not url:
        raise Exception("the authority's certificate names no revocation list")
    # The verifier tells agents and authority at the same time: the new list may be a moment away.
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(0.5)
        response = await tornado_requests.request("GET", url, timeout=5.0)
        if response.status_code == 200 and install(response.body, authority, unzipped, int(serial)):
            logger.info("revocation list with serial %s is in %s", serial, unzipped)
            if RELOAD_COMMAND:
                cmd_exec.run(RELOAD_COMMAND)
            return
    raise Exception(f"{url} gives no list with serial {serial} (HTTP {response.status_code})")


def install(der, authority, unzipped, serial):
    """Keeps the list when it is signed by the authority and names the serial. Each file is replaced whole."""
    with tempfile.TemporaryDirectory(dir=unzipped) as place:
        new_der, new_pem = os.path.join(place, "cacrl.der"), os.path.join(place, "cacrl.pem")
        with open(new_der, "wb") as f:
            f.write(der)
        check = cmd_exec.run(
            ["openssl", "crl", "-inform", "DER", "-in", new_der, "-CAfile", authority, "-noout", "-text"], raiseOnError=False
        )
        text = b"".join(check["retout"]).decode()
        serials = [int(line.split(":", 1)[1], 16) for line in text.splitlines() if "Serial Number:" in line]
        if check["code"] != 0 or b"verify OK" not in b"".join(check["reterr"]):
            raise Exception("the revocation list is not signed by the authority")
        if serial not in serials:
            return False
        ca_util.convert_crl_to_pem(new_der, new_pem)
        for new, name in ((new_der, "cacrl.der"), (new_pem, "cacrl.pem")):
            os.chmod(new, 0o644)
            os.rename(new, os.path.join(unzipped, name))
    return True
