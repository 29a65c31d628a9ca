"""Runs execute(event) of one revocation action: run_action.py ACTION.py EVENT.json"""
import asyncio
import importlib.util
import inspect
import json
import os
import sys


def main():
    path, event_path = sys.argv[1], sys.argv[2]
    with open(event_path, encoding="utf-8") as f:
        event = json.load(f)
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    result = module.execute(event)
    if inspect.isawaitable(result):
        asyncio.run(_await(result))


async def _await(result):
    await result


if __name__ == "__main__":
    main()
