"""Starts upstream's last agent in Python (6.6.0) against today's services.

Two of its constants come from the environment here, because the release has no option for them: the places of the IMA log and of the boot log.
With PATCH=1 its registration is also brought to what a 7.x registrar of upstream demands: the header Content-Type, and the field ek_tpm beside a
certificate. Our registrar takes the agent as it is.
"""
import json
import os

from keylime import config, registrar_client

config.IMA_ML = os.environ["IMA_ML"]
config.MEASUREDBOOT_ML = os.environ["MEASUREDBOOT_ML"]


def patch():
    register, plain = registrar_client.doRegisterAgent, registrar_client.RequestsClient
    extra = {}

    class Client(plain):
        def post(self, url, data=None, **kwargs):
            return super().post(url, data=json.dumps({**json.loads(data), **extra}), headers={"Content-Type": "application/json"}, **kwargs)

        def put(self, url, data=None, **kwargs):
            return super().put(url, data=data, headers={"Content-Type": "application/json"}, **kwargs)

    def with_ek(ip, port, agent_id, ek_tpm, *args, **kwargs):
        extra["ek_tpm"] = ek_tpm.decode() if isinstance(ek_tpm, bytes) else ek_tpm
        return register(ip, port, agent_id, ek_tpm, *args, **kwargs)

    registrar_client.RequestsClient = Client
    registrar_client.doRegisterAgent = with_ek


if os.environ.get("PATCH") == "1":
    patch()

from keylime.cmd.agent import main  # noqa: E402  (reads the constants when it is imported)

main()
