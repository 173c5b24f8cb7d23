"""What the core asks of the outside: adapters, their connections to a live provider, stores of objects.

An `Adapter` is pure and needs no SDK and no credentials; `Adapter.connect` gives the `Connection` that calls the
provider. Both together are Pulumi's resource semantics: check, diff, create (with preview), read, update, delete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rehost.stacks.catalog import Charge, Origin, Sheet, Transfer
from rehost.stacks.diagnostics import Diagnostic
from rehost.stacks.graph import Resource, Value, make_urn

if TYPE_CHECKING:
    from rehost.stacks.lift.draft import Draft, LiftJob
    from rehost.stacks.lift.items import Item, Items
    from rehost.stacks.lower import Lowering
    from rehost.stacks.model import Stack, Target
    from rehost.stacks.portability import Finding
    from rehost.stacks.sql.port import Place, SqlSession


class Disruption(IntEnum):
    """What a step interrupts, the worst last."""

    NONE = 0
    RESTART = 1
    REPLACE = 2
    DATA_LOSS = 3

    @property
    def label(self) -> str:
        """The word shown to people and in JSON."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class KindRules:
    """The facts about one resource type, kept as data in the provider's folder. Times are seconds.

    Property paths leave out list indices: `rules.port`, `rootBlockDevice.encrypted`.
    """

    token: str
    title: str
    """What people call it: `server`, `security group rule`."""
    addresses: tuple[str, ...] = ()
    """Outputs under which it is reached, by property path: addresses, name servers, host names."""
    shows: tuple[str, ...] = ()
    """Inputs whose values tell a reader of a plan what is made, in this order; without them all short ones do."""
    inputs: frozenset[str] = frozenset()
    """Top-level inputs that are carried out; any other is refused. Empty where everything is taken."""
    force_new: frozenset[str] = frozenset()
    """Inputs whose change replaces the resource."""
    unread: frozenset[str] = frozenset()
    """Inputs that the API never returns: kept from state, never a difference."""
    frozen: frozenset[str] = frozenset()
    """Inputs used at creation only; a later change is reported and not applied."""
    unordered: frozenset[str] = frozenset()
    """Lists whose order has no meaning."""
    defaults: Mapping[str, Value] = field(default_factory=dict)
    """Top-level inputs that mean the same when left out."""
    sensitive: frozenset[str] = frozenset()
    disruption: Mapping[str, Disruption] = field(default_factory=dict)
    """What an update of a property in place interrupts; none where it is not named."""
    notice: Mapping[str, str] = field(default_factory=dict)
    """What people should know about a change of an input, whatever it interrupts; `{ttl}` stands for the old
    value of another input."""
    volatile: frozenset[str] = frozenset()
    """Outputs that an update with a restart may change (public addresses)."""
    moves: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By input: outputs that its change may change (a server's address with its public nets)."""
    identity: str = "tag"
    """How a lost create is found again: `tag` (rehost-id), `natural` (a natural key), `name` (unique name)."""
    tags: str = ""
    """The input that holds tags or labels, empty where the type has none."""
    delete_before_replace: bool = False
    holds_data: bool = False
    exclusive: frozenset[str] = frozenset()
    """Inputs naming what a call locks at the provider: calls with a lock in common are not made at once."""
    unique: tuple[tuple[str, ...], ...] = ()
    """Groups of inputs whose values together only one resource of the type may have."""
    apart: frozenset[str] = frozenset()
    """Inputs of these groups that are address ranges: they may not even overlap."""
    due: str = ""
    """An input that a read tells by itself, and nobody asks for: since when and why an update is due by time."""
    renewing: frozenset[str] = frozenset()
    """Inputs whose update in place gives the volatile outputs new values, whatever it interrupts."""
    paper: bool = False
    """It serves nobody: replacing it interrupts nothing."""
    alone: tuple[str, str] | None = None
    """An input and the value with which a resource has its other unique values to itself (a CNAME its name)."""
    integers: frozenset[str] = frozenset()
    """Properties that hold other resources' ids as whole numbers, as the official provider writes them."""
    within: tuple[str, ...] = ()
    """Inputs with ids of resources that it is gone with: it is not deleted by itself where one of them is."""
    empties: bool = False
    """Its deletion takes out what is in it: others need not let go before, where a value is taken from it."""
    joins: bool = False
    """Only ties two others together (an attachment): nothing is lost with it."""
    create_s: float = 600.0
    """After this long without success a create is given up; the same for update and delete."""
    update_s: float = 600.0
    delete_s: float = 600.0
    poll_s: float = 1.0
    """First interval between two looks at something under way; grows to ten times this."""
    visible_s: float = 0.0
    """Longest time after its creation that a resource may be missing from reads and look-ups."""
    typical_s: float = 1.0
    """Usual time of a create: weighs the longest path, promises nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """One property that differs. `path` is dotted, with list indices."""

    path: str
    old: Value
    new: Value
    replaces: bool = False
    disruption: Disruption = Disruption.NONE
    frozen: bool = False
    """The difference is known and will not be applied."""


@dataclass(frozen=True, slots=True)
class Diff:
    """What an update of a resource would change."""

    changes: tuple[Change, ...] = ()

    @property
    def effective(self) -> tuple[Change, ...]:
        """The changes that will be applied."""
        return tuple(change for change in self.changes if not change.frozen)

    @property
    def replaces(self) -> tuple[str, ...]:
        """Paths that force a replacement."""
        return tuple(change.path for change in self.changes if change.replaces and not change.frozen)


@dataclass(frozen=True, slots=True)
class Known:
    """A resource as state knows it, to be read or found again. Secrets in `inputs` are revealed.

    One to be imported has the id that the official provider's import takes, and no inputs.
    """

    urn: str
    id: str
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Live:
    """A resource as the provider answers: outputs as the official provider writes them, and the inputs that
    would describe it as it is (unreadable ones carried over from state)."""

    id: str
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]
    unseen: str = ""
    """Why it could not be looked at; it is told as it was known then."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose account this connection acts in.

    `anchored` says whether the deployment's anchor was found, for providers that can't name their account;
    None where the account speaks for itself.
    """

    endpoint: str
    account: str = ""
    anchored: bool | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """Something the stack leaves open at this target. `key` is its address (`servers.app.type`).

    Needs of one `pool` share out the candidates: each takes one that the fewest of its pool have. What is chosen
    stays, so that more candidates or more needs move nothing that exists.
    """

    key: str
    kind: str
    requirement: Mapping[str, Any]
    pool: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to meet a need. `monthly` is the list price in `currency`, None where there is none."""

    value: Any
    summary: str
    monthly: float | None = None
    currency: str = ""
    available: bool | None = None
    """Whether there is room for one now; None where nobody asked."""
    origin: Origin | None = None
    """Of the price."""


class Call(Protocol):
    """What a provider's function may use while it runs: a clock that tests can turn, and ways to report."""

    @property
    def client_token(self) -> str:
        """The same for every attempt at this step, also after a crash: for APIs that take idempotency tokens."""

    def now(self) -> float:
        """Seconds of a monotonic clock."""

    def pause(self, seconds: float) -> None:
        """Wait; raises Interrupted when the run is being stopped, ProviderError when the step's time is over."""

    def made(self, id_: str) -> None:
        """Journal the id as soon as the provider names it, before any waiting."""

    def poll(self, done: Callable[[], bool], what: str) -> None:
        """Call `done` at the kind's poll interval until it is true; raises like `pause`."""


class Connection(Protocol):
    """A live provider. Calls block and raise ProviderError; each may run in many threads at once."""

    def identify(self, deployment: str) -> Identity:
        """Whose account this is. Raises ProviderError(DENIED) for wrong credentials."""

    def create(self, call: Call, token: str, inputs: Mapping[str, Value]) -> Live:
        """Make the resource and wait until it can be used."""

    def read(self, token: str, known: Sequence[Known]) -> Sequence[Live | None]:
        """The resources as they are, in the order asked for, None for what is gone; calls grow with the number
        of pages, not of resources, wherever the API can list. What is read by an import id alone comes with all
        inputs that describe it."""

    def find(self, token: str, inputs: Mapping[str, Value], besides: frozenset[str] = frozenset()) -> Live | None:
        """The resource that an earlier create with these inputs made, by the kind's identity. `besides` are ids of
        predecessors, which carry the same mark while they are being replaced."""

    def update(self, call: Call, token: str, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Change the resource in place to the new inputs."""

    def delete(self, call: Call, token: str, known: Known) -> None:
        """Remove the resource and wait until it is gone; one that is gone already is no error."""

    def offers(self, need: Need) -> Sequence[Candidate] | None:
        """Ways to meet a need as they are now, the best first; None where the catalog says it all."""

    def objects(self, bucket: Mapping[str, Value]) -> ObjectStore:
        """The content of a bucket, given the outputs of its resource."""

    def sql(self, place: Place) -> AbstractContextManager[SqlSession]:
        """A session of a database's owner. Raises SqlAway with what to do where it can't be reached from here."""

    def way(self, place: Place) -> AbstractContextManager[tuple[str, int]]:
        """Host and port at which a database is reached from here, as long as the context is open. Raises
        SqlAway."""

    def close(self) -> None:
        """Give back what the connection holds."""


@dataclass(frozen=True, slots=True)
class HostedZone:
    """A zone that an account has, and the name servers that it is served by; names have no last dot."""

    id: str
    name: str
    servers: tuple[str, ...]


@runtime_checkable
class ZoneEditor(Protocol):
    """What a connection offers whose provider has DNS zones: texts come and go in a record that may hold others.

    Names are full ones. Calls raise ProviderError."""

    def hosted_zones(self, name: str) -> Sequence[HostedZone]:
        """The public zones of the account that a name could be in, made by rehost or not."""

    def add_text(self, call: Call, zone: HostedZone, name: str, text: str) -> None:
        """Add a text to the TXT records of a name; one that is there already is left."""

    def drop_text(self, call: Call, zone: HostedZone, name: str, text: str) -> None:
        """Take a text away; one that is not there is no error. The others stay."""


class Adapter(Protocol):
    """A provider without its network: everything that can be said without credentials."""

    name: str
    title: str
    parallel: int
    """Calls at once that the provider takes well."""
    anchor: str | None
    """Type token of the anchor resource, for providers that can't name their account."""
    currency: str
    account: bool
    """Whether it takes an account somewhere; False for what runs in this process."""
    native: frozenset[str]
    """What it has of its own beyond servers, storage and networks: `databases.postgres`, `caches.valkey`."""
    name_servers: str
    """The names of its DNS servers, as a regular expression; empty where it has none."""
    options: Mapping[str, str]
    """What a target may say beside provider and region, each with a line for people."""

    def regions(self) -> Sequence[str]:
        """Regions that are known without asking the provider; the usual one first."""

    def kinds(self) -> Sequence[str]:
        """Type tokens of all that this provider declares to carry out; its connection implements just these.
        Without units among them, the steps of services wait for a person."""

    def rules(self, token: str) -> KindRules:
        """The facts about a type. Raises KeyError for one that the provider does not know."""

    def diagnose(self, stack: Stack, target: Target) -> Iterable[Diagnostic]:
        """What this provider will not accept of the stack: regions, names, limits, records, sizes."""

    def fits(self, stack: Stack, target: Target) -> Iterable[Finding]:
        """What this provider does not simply have: substituted, lost, or left to a person. Pure."""

    def needs(self, stack: Stack, target: Target) -> Sequence[Need]:
        """What has to be chosen before lowering."""

    def offers(self, need: Need, target: Target) -> Sequence[Candidate] | None:
        """Ways to meet a need from the shipped catalog, the cheapest first; None if only the live provider
        can say."""

    def meets(self, need: Need, value: Any, target: Target) -> bool:
        """Whether a pinned choice still meets its need."""

    def lower(self, lowering: Lowering) -> Iterable[Resource]:
        """The resources of the stack at its target."""

    def export(self, lowering: Lowering, address: str) -> Value:
        """What a reference in the stack file stands for, resources' outputs as Refs."""

    def place(self, lowering: Lowering, database: str) -> Mapping[str, Value]:
        """Where a database of the stack is, and who makes its roles; see stacks/roles.py."""

    def check(self, token: str, inputs: Mapping[str, Value]) -> Mapping[str, Value]:
        """Inputs made uniform. Raises InvalidInput where they break a limit of the kind."""

    def diff(
        self,
        token: str,
        old_inputs: Mapping[str, Value],
        old_outputs: Mapping[str, Value],
        new_inputs: Mapping[str, Value],
    ) -> Diff:
        """What changes; pure. Unknown new values count as changes."""

    def preview(self, token: str, inputs: Mapping[str, Value]) -> Mapping[str, Value]:
        """The outputs of a create as far as they are known beforehand; the others are UNKNOWN."""

    def charges(self, token: str, inputs: Mapping[str, Value], target: Target) -> Sequence[Charge]:
        """What a resource is billed for by the month at list price, in `currency`; nothing where it is free."""

    def at_rest(self, target: Target, size: int) -> Charge | None:
        """What so many bytes in buckets cost by the month; None where buckets are free."""

    def egress(self, target: Target, size: int) -> Transfer | None:
        """What it costs once when so many bytes leave for the Internet, None where unknown."""

    def connect(self, target: Target, environment: Mapping[str, str]) -> Connection:
        """Open a connection with the credentials of the provider's own tools. Raises InvalidInput when there
        are none, and imports the SDK."""


@runtime_checkable
class Catalogued(Protocol):
    """What an adapter offers that has types and prices to look at, and can ask its provider for them."""

    def sheet(self, region: str) -> Sheet:
        """All that is known of a region: what was last asked for, and what is shipped."""

    def informed(self, environment: Mapping[str, str]) -> Adapter:
        """The same adapter with what was last asked for at this environment's endpoint. Raises InvalidInput where
        that can't be read."""

    def ask(self, regions: Sequence[str], environment: Mapping[str, str]) -> Mapping[str, Sheet]:
        """What the provider says now, by region; kept for `informed`. Raises ProviderError and InvalidInput, and
        imports the SDK."""


@runtime_checkable
class Lifting(Protocol):
    """What an adapter may offer beside: taking resources, lowered or live ones, for the components they are."""

    overridable: Mapping[str, str]
    """By type token the family whose components' overrides are laid over it."""

    def lift(self, job: LiftJob) -> Draft:
        """The components that the items are, as a draft that claims them. Pure."""


@runtime_checkable
class Surveying(Protocol):
    """What a connection may offer beside: saying what there is in an account."""

    def survey(self) -> Iterable[tuple[str, str]]:
        """Type token and import id of everything of the kinds that the provider has, whoever made it; calls grow
        with the number of pages and of parents."""

    def tidy(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items without what only follows from others of them, in resources and in inputs."""

    def about(self, items: Items) -> Mapping[str, Mapping[str, Any]]:
        """What a lift wants to know beyond the resources: `images` by id with neutral name and architecture."""


@runtime_checkable
class Keyed(Protocol):
    """What an adapter offers whose buckets let in whoever has a pair of keys, which its owner makes by hand."""

    bucket_keys: tuple[tuple[str, str], ...]
    """Variables that may hold the pair for services, the best first."""


@runtime_checkable
class Entered(Protocol):
    """What an adapter offers whose servers rehost enters over SSH to run services on them."""

    def login(self, image: str) -> str:
        """Whom an image lets in, by its neutral name."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of a bucket. `modified` is seconds since 1970; `etag` is a change marker, no checksum; `version`
    is its version id where the bucket keeps versions and the answer names it."""

    key: str
    size: int
    etag: str = ""
    modified: float = 0.0
    version: str = ""


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """What travels with an object: Content-Type and its relatives by header name, user metadata, tags.

    Headers and user metadata are as they stand on the wire, each byte one character (Latin-1), so that they pass
    unchanged whatever they mean."""

    headers: Mapping[str, str] = field(default_factory=dict)
    user: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an object: `size` bytes from `start`."""

    start: int
    size: int


class ObjectStore(Protocol):
    """A bucket's content, for movers. All methods raise ProviderError; each may run in many threads."""

    name: str
    """What people call it: `s3://bucket`."""
    keeps: frozenset[str]
    """What of an object's metadata it can keep: `headers`, `user`, `tags`."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects in the order of their keys' UTF-8 bytes."""

    def about(self, key: str) -> tuple[ObjectInfo, ObjectMeta]:
        """An object's metadata without its content."""

    def open(
        self, key: str, *, span: Span | None = None, pin: ObjectInfo | None = None
    ) -> tuple[ObjectInfo, ObjectMeta, Iterator[bytes]]:
        """An object with its metadata, as a stream; `size` in its info is always that of the whole object.

        With `pin` it is the content that `pin` describes, or ProviderError(CHANGED)."""

    def put(
        self, key: str, meta: ObjectMeta, size: int, content: Iterable[bytes], *, sha256: str = ""
    ) -> ObjectInfo:
        """Write an object of known length; a broken stream leaves no object. With `sha256` (hex) the store refuses
        other content where it can check."""

    def begin(self, key: str, meta: ObjectMeta) -> str:
        """Start an upload in parts; answers its id."""

    def put_part(self, key: str, upload: str, number: int, span: Span, content: Iterable[bytes]) -> str:
        """Write a part (numbered from 1) of an upload; answers its marker for `finish`."""

    def finish(self, key: str, upload: str, parts: Sequence[str]) -> ObjectInfo:
        """Make the object out of all its parts, given their markers in order."""

    def abort(self, key: str, upload: str) -> None:
        """Forget an upload and its parts; one that is gone already is no error."""

    def unfinished(self, key: str) -> Sequence[str]:
        """Ids of uploads of this key that were neither finished nor forgotten."""

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""

    def versions(self) -> int:
        """How many versions and delete markers the bucket holds besides the current objects."""

    def purge(self) -> None:
        """Remove every object, version and delete marker."""


def urn_of(target: Target, stack: Stack, type_: str, name: str) -> str:
    """The URN of a resource of this stack at this target."""
    return make_urn(target.name, stack.stack, type_, name)
