"""Mail: the relay that sends it, and what the zones say about who may."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from rehost.stacks.model.base import Component, as_list, complaint
from rehost.stacks.model.edge import Host, Port, SecretText
from rehost.stacks.model.zones import Domain

Address = Annotated[str, StringConstraints(pattern=r"^[^@\s,;!<>]{1,64}@[A-Za-z0-9.-]{1,253}$")]
"""A mail address."""
Addresses = Annotated[tuple[Address, ...], BeforeValidator(as_list)]
PublicKeyText = Annotated[str, StringConstraints(pattern=r"^\$\{secrets\.[a-z0-9_-]+\.public_key\}$")]
"""The public half of a key among the secrets: `${secrets.<name>.public_key}`."""


class Relay(Component):
    """The server of somebody else that takes mail from the services and delivers it."""

    host: Host = Field(examples=["smtp.relay.example"])
    """Its host name."""
    port: Port = 587
    """The port that it takes mail at."""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """How the connection is encrypted: after a word in the clear, from the start, or not at all."""
    user: str = Field("", max_length=320, examples=["shop"])
    """Who the services log in as; without it they don't."""
    password: SecretText | None = Field(None, examples=["${secrets.smtp}"])
    """The password that they log in with."""

    @model_validator(mode="after")
    def _whole(self) -> Relay:
        if bool(self.user) != (self.password is not None):
            missing = "password" if self.user else "user"
            raise complaint(
                f"the relay has no {missing}", "one is of no use without the other", f"add `{missing}:`"
            )
        if self.tls == "none" and self.password is not None:
            why = "everybody on the way could read it"
            raise complaint(
                "the password would be sent in the clear", why, "write tls: starttls, or implicit", "tls"
            )
        return self


class Dkim(Component):
    """The key that mail of a domain is signed with, as its readers find it."""

    selector: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", examples=["s1"])
    """The name that signatures refer to it by."""
    key: PublicKeyText | None = Field(None, examples=["${secrets.dkim.public_key}"])
    """The public half of a key of the stack, where the services sign."""
    public_key: str | None = Field(None, examples=["MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A..."])
    """The public key that the relay's owner gave, where the relay signs: base64, or PEM."""
    cname: Host | None = Field(None, examples=["s1.domainkey.relay.example"])
    """The relay's own name of the key, where the relay keeps it."""

    @model_validator(mode="after")
    def _one_key(self) -> Dkim:
        given = [name for name in ("key", "public_key", "cname") if getattr(self, name) is not None]
        if len(given) != 1:
            summary = f"a DKIM key can't be both {' and '.join(given[:2])}" if given else "there is no key"
            fix = "remove all but one" if given else 'add key: "${secrets.<name>.public_key}", public_key or cname'
            raise complaint(summary, "readers of signatures look one up", fix, given[1] if given else "")
        return self


class Dmarc(Component):
    """What receivers are to do with mail that neither SPF nor DKIM vouches for."""

    policy: Literal["none", "quarantine", "reject"]
    """What becomes of it."""
    subdomains: Literal["none", "quarantine", "reject"] | None = None
    """The same for names below the domain; without it as for the domain."""
    percent: int = Field(100, ge=0, le=100)
    """The share of such mail that the policy is applied to."""
    strict: bool = False
    """Whether SPF and DKIM have to vouch for the very domain of the sender, not for one above or below."""
    reports: Addresses = Field((), examples=["dmarc@shop.example"])
    """Who gets the daily reports."""
    failures: Addresses = ()
    """Who is told of single failures."""


class MailDomain(Component):
    """A domain that mail is sent from, and what its zone says about that."""

    spf: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field((), examples=[["include:spf.relay.example"]])
    """Who may send in its name, as SPF has it: `include:...`, `ip4:...`, `mx`, `a:...`."""
    others: Literal["neutral", "softfail", "fail"] = "softfail"
    """What is thought of all who are not in `spf`."""
    dkim: Annotated[tuple[Dkim, ...], BeforeValidator(as_list)] = ()
    """The keys that its mail is signed with."""
    dmarc: Dmarc | None = None
    """What becomes of mail that nobody vouches for."""
    mx: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field((), examples=[["10 mx.mail.example"]])
    """Who takes its mail: priority and mail server. rehost runs none."""


class Mail(Component):
    """How the platform sends mail: over a relay of somebody else's, in the name of domains of its zones."""

    relay: Relay | None = None
    """The server that delivers it."""
    domains: dict[Domain, MailDomain] = Field(default_factory=dict)
    """Domains that it is sent from, each in one of the stack's zones."""
