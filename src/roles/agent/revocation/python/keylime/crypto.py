"""Reading certificates, by openssl: this needs no Python package."""
import subprocess


class Certificate:
    def __init__(self, path):
        self.path = path

    def _x509(self, *options):
        command = ["openssl", "x509", "-in", self.path, "-noout", *options]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    @property
    def serial_number(self):
        return int(self._x509("-serial").split("=", 1)[1], 16)

    @property
    def subject(self):
        return self._x509("-subject", "-nameopt", "RFC2253").split("=", 1)[1]


def load_certificate(path):
    return Certificate(path)
