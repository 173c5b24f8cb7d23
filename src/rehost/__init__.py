"""rehost: describe a platform once, redeploy it on another cloud with its data.

The classes that a stack program needs are here (`from rehost import Stack, Server`); they are imported when they
are asked for, so that `import rehost` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rehost.stacks.model import (
        Backups,
        Bucket,
        Cache,
        Certificate,
        Check,
        CorsRule,
        Database,
        Deploy,
        Dkim,
        Dmarc,
        Firewall,
        HealthCheck,
        LifecycleRule,
        Listener,
        LoadBalancer,
        Mail,
        MailDomain,
        Network,
        Record,
        Relay,
        Role,
        Rule,
        Secret,
        Server,
        Service,
        ServiceCheck,
        Size,
        Stack,
        StaticAddress,
        Subnet,
        Target,
        UpdateConfig,
        Volume,
    )

__version__ = "0.1.0"

__all__ = [
    "Backups",
    "Bucket",
    "Cache",
    "Certificate",
    "Check",
    "CorsRule",
    "Database",
    "Deploy",
    "Dkim",
    "Dmarc",
    "Firewall",
    "HealthCheck",
    "LifecycleRule",
    "Listener",
    "LoadBalancer",
    "Mail",
    "MailDomain",
    "Network",
    "Record",
    "Relay",
    "Role",
    "Rule",
    "Secret",
    "Server",
    "Service",
    "ServiceCheck",
    "Size",
    "Stack",
    "StaticAddress",
    "Subnet",
    "Target",
    "UpdateConfig",
    "Volume",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in __all__:
        raise AttributeError(f"module 'rehost' has no attribute {name!r}")
    from rehost.stacks import model

    return getattr(model, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
