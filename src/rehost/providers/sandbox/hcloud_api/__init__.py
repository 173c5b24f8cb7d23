"""A stand-in for the Hetzner Cloud API, for the kinds that rehost deploys. A WSGI application."""

from rehost.providers.sandbox.hcloud_api.app import HcloudApi

__all__ = ["HcloudApi"]
