"""A stand-in for the Hetzner Cloud API: a WSGI application with a clock that is handed in.

A request goes through `app.py` (token, limit, body) to the handler of its family (`servers.py`, `zones.py`, ...).
What families share is in `resources.py` (reads, lists, protection) and in `store.py` (records, actions and their
effects as data). What bodies may hold is data in `data/requests.json`, what is on offer in `data/offers.json` and
in the catalog of the adapter.
"""

from rehost.providers.sandbox.hcloud_api.app import HcloudApi

__all__ = ["HcloudApi"]
