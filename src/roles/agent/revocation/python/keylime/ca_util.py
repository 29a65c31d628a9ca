import subprocess


def get_crl_distpoint(cert_path):
    """The first URL among the CRL distribution points of a certificate; an empty text without one."""
    text = subprocess.run(["openssl", "x509", "-in", cert_path, "-noout", "-text"], check=True, capture_output=True, text=True).stdout
    inside = False
    for line in text.splitlines():
        if "CRL Distribution Points" in line:
            inside = True
        elif inside and "URI:" in line:
            return line.split("URI:", 1)[1].strip()
    return ""


def convert_crl_to_pem(derfile, pemfile):
    subprocess.run(["openssl", "crl", "-inform", "DER", "-in", derfile, "-outform", "PEM", "-out", pemfile], check=True, capture_output=True)
