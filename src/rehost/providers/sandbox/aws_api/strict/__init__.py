"""What AWS refuses and moto does not, and what takes its time at AWS and happens at once in moto.

One module for each service. They register functions by operation: `before` looks at a request and may refuse it,
`after` changes what a successful call left behind, `settle` lets pass what was due. What has to be remembered is
kept on moto's own objects, so that it lives and dies with them.
"""

from rehost.providers.sandbox.aws_api.strict.rules import Strict

__all__ = ["Strict"]
