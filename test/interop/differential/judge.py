"""Judges evidence by upstream's own code: one JSON object a line in, one verdict a line out.

In: agent (ak, nonce, tpm_policy), runtime_policy and mb_policy (texts or null), reply (what the agent answered).
Out: {"passed": bool, "events": [ids]}, or {"refused": text} when the policy would not even have been stored, or {"raised": text}.
"""
import io
import json
import logging
import sys

answers, sys.stdout = sys.stdout, io.StringIO()  # upstream prints and logs to standard output

from keylime import cloud_verifier_common  # noqa: E402
from keylime.agentstates import AgentAttestState  # noqa: E402
from keylime.ima import ima  # noqa: E402
from keylime.mba import mba  # noqa: E402

logging.disable(logging.CRITICAL)
mba.load_imports()


def judge(case):
    try:
        runtime_policy = ima.deserialize_runtime_policy(case["runtime_policy"])
        if runtime_policy is not None:
            ima.validate_runtime_policy(runtime_policy)
        json.loads(case["agent"]["tpm_policy"])
        if case["mb_policy"]:
            json.loads(case["mb_policy"])
    except Exception as error:  # pylint: disable=broad-except
        return {"refused": repr(error)[:200]}
    agent = {
        "agent_id": "interop",
        "supported_version": "2.1",
        "attestation_count": 0,
        "ima_sign_verification_keys": "",
        "accept_tpm_hash_algs": ["sha512", "sha384", "sha256"],
        "accept_tpm_encryption_algs": ["ecc", "rsa"],
        "accept_tpm_signing_algs": ["ecschnorr", "ecdsa", "rsassa"],
        "v": "",
        "public_key": "",
        "ak_tpm": case["agent"]["ak"],
        "nonce": case["agent"]["nonce"],
        "tpm_policy": case["agent"]["tpm_policy"],
    }
    try:
        failure = cloud_verifier_common.process_quote_response(
            agent, case["mb_policy"], runtime_policy, case["reply"], AgentAttestState("interop"), "example"
        )
    except Exception as error:  # pylint: disable=broad-except
        return {"raised": repr(error)[:200]}
    return {"passed": not failure, "events": [event.event_id for event in failure.events]}


for line in sys.stdin:
    answers.write(json.dumps(judge(json.loads(line))) + "\n")
    answers.flush()
    sys.stdout.seek(0)
    sys.stdout.truncate()
