"""What the scripts have in common: where the gateway is, and one line of JSON per scenario for the test to read."""

import json
import os

URL = os.environ["SALLYPORT_URL"]
KEY = os.environ["SALLYPORT_KEY"]

# A tool, as JSON schema, that both dialects are given.
WEATHER = {
    "name": "get_weather",
    "description": "The weather at a place",
    "schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


def run(*scenarios):
    """Play the scenarios one after the other. An exception is a result too: errors are what some of them are about."""
    for play in scenarios:
        try:
            result = play()
        except Exception as e:  # whatever it is, the test judges it
            result = {"error": type(e).__name__, "status": getattr(e, "status_code", None), "message": str(e)}
        print(json.dumps({"scenario": play.__name__, "result": result}), flush=True)
