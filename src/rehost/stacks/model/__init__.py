"""The neutral component types a stack is made of."""

from rehost.stacks.model.base import Bytes, Component, Override, parse_size, show_size
from rehost.stacks.model.compute import Server, Size, Volume
from rehost.stacks.model.data import Backups, Cache, Database, Role
from rehost.stacks.model.edge import (
    Acme,
    Certificate,
    ExternalAccount,
    HealthCheck,
    Listener,
    LoadBalancer,
    StaticAddress,
)
from rehost.stacks.model.mail import Dkim, Dmarc, Mail, MailDomain, Relay
from rehost.stacks.model.network import Firewall, Network, Rule, Subnet
from rehost.stacks.model.services import Deploy, Service, ServiceCheck, ServiceSetup, UpdateConfig
from rehost.stacks.model.stack import Check, ProviderKey, Secret, SshKey, Stack, Target
from rehost.stacks.model.storage import Bucket, CorsRule, LifecycleRule
from rehost.stacks.model.zones import Record

__all__ = [
    "Acme",
    "Backups",
    "Bucket",
    "Bytes",
    "Cache",
    "Certificate",
    "Check",
    "Component",
    "CorsRule",
    "Database",
    "Deploy",
    "Dkim",
    "Dmarc",
    "ExternalAccount",
    "Firewall",
    "HealthCheck",
    "LifecycleRule",
    "Listener",
    "LoadBalancer",
    "Mail",
    "MailDomain",
    "Network",
    "Override",
    "ProviderKey",
    "Record",
    "Relay",
    "Role",
    "Rule",
    "Secret",
    "Server",
    "Service",
    "ServiceCheck",
    "ServiceSetup",
    "Size",
    "SshKey",
    "Stack",
    "StaticAddress",
    "Subnet",
    "Target",
    "UpdateConfig",
    "Volume",
    "parse_size",
    "show_size",
]
