import asyncio
import json as _json
import urllib.error
import urllib.parse
import urllib.request


class TornadoResponse:
    def __init__(self, status_code, body):
        self.status_code = status_code
        self.body = body

    def json(self):
        return _json.loads(self.body)


def _ask(method, url, params, data, headers, context, timeout):
    if params:
        url += ("&" if "?" in url else "?") + urllib.parse.urlencode(params)
    body = data.encode() if isinstance(data, str) else data
    request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, context=context, timeout=timeout) as response:
            return TornadoResponse(response.status, response.read())
    except urllib.error.HTTPError as e:
        return TornadoResponse(e.code, e.read())
    except OSError as e:
        return TornadoResponse(599, str(e).encode())


async def request(method, url, params=None, data=None, context=None, headers=None, timeout=60.0):
    """An HTTP request; 599 when nobody could be reached."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, _ask, method, url, params, data, headers, context, timeout)
