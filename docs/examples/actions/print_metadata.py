"""Prints who was revoked: the smallest action there is. For revocation_actions in agent.conf."""
import json


async def execute(event):
    print(json.dumps(event.get("metadata"), sort_keys=True))
