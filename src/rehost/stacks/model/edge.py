"""What stands between the Internet and the servers: load balancers, certificates, static addresses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from rehost.stacks.model.base import Component, Override, complaint

Port = Annotated[int, Field(ge=1, le=65535)]

CertificateDomain = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$", max_length=253
    ),
]
"""A name on a certificate; `*.` stands for one label."""

Host = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$", max_length=253
    ),
]
"""A full host name."""

SecretText = Annotated[str, StringConstraints(pattern=r"^\$\{secrets\.[a-z0-9_-]+(\.value)?\}$")]
"""A secret of the stack: `${secrets.<name>}`."""


class Listener(Component):
    """A port that answers. `redirect: https` sends visitors of an http port to https."""

    port: Port = Field(examples=[443])
    """The port that visitors connect to."""
    protocol: Literal["tcp", "http", "https"] = "tcp"
    """What is spoken; tcp is passed on as it is."""
    to_port: Port | None = Field(None, examples=[8080])
    """The port of the targets; without it the service's first one, or for a server group the listener's own."""
    certificate: str | None = Field(None, examples=["site"])
    """A name under `certificates`, for https."""
    redirect: Literal["https"] | None = None
    """Send visitors to https instead of to a target."""

    @model_validator(mode="before")
    @classmethod
    def _redirects_speak_http(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("redirect") and "protocol" not in data:
            return {**data, "protocol": "http"}
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Listener:
        if self.protocol == "https" and self.certificate is None:
            raise complaint(
                "an https listener has no certificate",
                "it proves to visitors who answers",
                "add `certificate:` with a name",
            )
        if self.protocol != "https" and self.certificate is not None:
            summary = f"a listener that speaks {self.protocol} has a certificate"
            raise complaint(summary, "nothing would use it", "write protocol: https", "certificate")
        if self.redirect and self.protocol != "http":
            raise complaint(
                "only an http listener redirects", "others speak no http", "write protocol: http", "redirect"
            )
        if self.redirect and self.to_port is not None:
            raise complaint("a redirect has a to_port", "it reaches no target", "remove to_port", "to_port")
        return self

    @property
    def target_port(self) -> int:
        """The port of the targets that this listener's traffic goes to."""
        return self.to_port or self.port


class HealthCheck(Component):
    """How a load balancer tells which targets work."""

    path: str | None = Field(None, pattern=r"^/\S*$", max_length=1024, examples=["/healthz"])
    """Asked for over http; without it a connection is enough."""
    port: Port | None = None
    """Without it the port of the traffic."""
    interval: int = Field(15, ge=5, le=60)
    """Seconds between two checks of a target."""
    timeout: int = Field(10, ge=2, le=60)
    """Seconds that a target has to answer."""
    retries: int = Field(3, ge=2, le=5)
    """So many equal results in a row change a target's state."""
    status: str = Field("200", pattern=r"^[1-5](\d\d|\?\?)(,[1-5](\d\d|\?\?))*$", examples=["200,204"])
    """Status codes that mean health: `200`, `200,204`, `2??`."""

    @model_validator(mode="after")
    def _in_time(self) -> HealthCheck:
        if self.timeout > self.interval:
            summary = f"the timeout of {self.timeout} s is longer than the interval of {self.interval} s"
            raise complaint(summary, "a check would overlap with the next", "make the interval longer", "timeout")
        return self


class LoadBalancer(Component):
    """Spreads traffic over a server group. Its traffic to its targets passes their firewalls."""

    to: str = Field(examples=["servers.app", "services.web"])
    """What it spreads traffic over: a server group, or the servers of a service."""
    listen: tuple[Listener, ...] = Field(min_length=1)
    """Ports that it answers."""
    health_check: HealthCheck = HealthCheck()
    """How it tells which targets work."""
    sticky: int = Field(0, ge=0, le=604_800)
    """Seconds for which a visitor keeps being sent to one target, for http and https; 0 is never."""
    algorithm: Literal["round_robin", "least_connections"] = "round_robin"
    """How it chooses a target."""
    internal: bool = False
    """Only reachable from the private network."""
    override: Override = Field(default_factory=dict)
    """Native properties, by provider or target."""

    @property
    def speaks_http(self) -> bool:
        """Whether it reads what it forwards."""
        return any(listener.protocol != "tcp" for listener in self.listen)

    @model_validator(mode="after")
    def _sticky_needs_http(self) -> LoadBalancer:
        if self.sticky and not self.speaks_http:
            why = "who goes where is kept in a cookie, and tcp has none"
            raise complaint("tcp can't be sticky", why, "remove sticky", "sticky")
        return self


class ExternalAccount(Component):
    """How an authority that wants it knows the account as one of its customers."""

    key_id: str = Field(min_length=1, examples=["kid-1"])
    """The name of the key, as the authority gave it."""
    hmac_key: SecretText = Field(examples=["${secrets.eab-key}"])
    """A secret whose value is the key, in base64url as the authority gave it."""


class Acme(Component):
    """The authority that issues certificates with `issuer: acme`, and the account there."""

    directory: str = Field(
        "https://acme-v02.api.letsencrypt.org/directory", pattern=r"^https://\S+$", max_length=512
    )
    """The address of its directory; without it Let's Encrypt's."""
    email: str | None = Field(None, pattern=r"^[^@\s,:?]+@[^@\s,:?]+$", examples=["ops@plaza.example"])
    """Where it writes to about the account."""
    terms_agreed: bool = False
    """That you have read its terms and agree: without it no account is made."""
    external_account: ExternalAccount | None = None
    """For authorities that only take customers of theirs."""


class Certificate(Component):
    """A certificate for load balancers.

    `managed` ones are issued and renewed by the target itself; `acme` ones through rehost, by an authority of your
    choice, with a key that moves with the stack; `upload` brings one along that was issued elsewhere.
    """

    domains: tuple[CertificateDomain, ...] = Field(min_length=1, max_length=100, examples=[["plaza.example"]])
    """Names that it holds for; `*.plaza.example` stands for all names one level below."""
    issuer: Literal["managed", "acme", "upload"] = "managed"
    """Who has it issued: the target, rehost, or somebody before."""
    key: Literal["rsa-2048", "p256"] = "rsa-2048"
    """For `acme`: the kind of its key."""
    certificate: str | None = Field(None, examples=["${secrets.site-certificate}"])
    """For `upload`: the chain in PEM, the certificate itself first; text or `${secrets.<name>}`."""
    private_key: SecretText | None = Field(None, examples=["${secrets.site-key}"])
    """For `upload`: a secret whose value is the key in PEM."""
    override: Override = Field(default_factory=dict)
    """Native properties, by provider or target."""

    @model_validator(mode="after")
    def _brings_what_it_says(self) -> Certificate:
        given = [key for key in ("certificate", "private_key") if getattr(self, key) is not None]
        if self.issuer == "upload" and len(given) < 2:
            missing = "certificate" if "certificate" not in given else "private_key"
            raise complaint(
                f"an uploaded certificate has no {missing}", "both are brought along", f"add `{missing}:`"
            )
        if self.issuer != "upload" and given:
            summary = f"{'a managed' if self.issuer == 'managed' else 'an issued'} certificate brings one along"
            who = "the target" if self.issuer == "managed" else "rehost"
            raise complaint(summary, f"{who} has it issued", "write issuer: upload", given[0])
        if self.issuer != "acme" and "key" in self.model_fields_set:
            why = "rehost makes keys of certificates that it has issued itself"
            raise complaint(
                "this certificate can't have a kind of key", why, "remove it, or write issuer: acme", "key"
            )
        return self


class StaticAddress(Component):
    """A public IPv4 address that stays when the server behind it is replaced: for partners' allow-lists.

    Without `on` it is reserved, and goes to no server yet.
    """

    on: str | None = Field(None, examples=["servers.app-1"])
    """One server: `servers.app-1`, or a group of one. It may go to another one later."""
    reverse: Host | None = Field(None, examples=["mail.plaza.example"])
    """The name that a reverse look-up of the address gives."""
    override: Override = Field(default_factory=dict)
    """Native properties, by provider or target."""
