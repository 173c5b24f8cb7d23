"""aws:acm/certificate:Certificate and aws:acm/certificateValidation:CertificateValidation"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rehost.providers.aws.kinds.common import (
    AwsKind,
    Clients,
    Item,
    camel,
    everything,
    given,
    gone_is_fine,
    to_tags,
)
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live

_KEYS = [
    "RSA_1024",
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "EC_prime256v1",
    "EC_secp384r1",
    "EC_secp521r1",
]
"""Every kind of key: without them the listing leaves out all but two."""
_NEVER = "0001-01-01 00:00:00 +0000 UTC"
"""How the official provider writes a time that has not come."""
_LOST = ("FAILED", "VALIDATION_TIMED_OUT", "REVOKED", "EXPIRED")


class Certificate(AwsKind):
    """A certificate that Amazon issues, or one that was uploaded with its key; its id is its ARN.

    The key goes in and never comes out again, and is in no error.
    """

    token = "aws:acm/certificate:Certificate"
    service, id_field = "acm", "CertificateArn"

    def select(self, ids: Sequence[str]) -> list[Item]:
        found: list[Item] = []
        for arn in ids:
            with gone_is_fine(), guarded("describe_certificate"):
                item = self.client.describe_certificate(CertificateArn=arn)["Certificate"]
                found.append({**item, "Tags": self._tags(arn)})
        return found

    def _tags(self, arn: str) -> list[dict[str, str]]:
        return list(self.client.list_tags_for_certificate(CertificateArn=arn)["Tags"])

    def twins(self, inputs: Mapping[str, Value]) -> list[Item]:
        rows = everything(self.client, "list_certificates", "CertificateSummaryList", Includes={"keyTypes": _KEYS})
        name = inputs.get("domainName")
        return self.select([row["CertificateArn"] for row in rows if name in (None, row.get("DomainName"))])

    def properties(self, item: Item) -> dict[str, Value]:
        options, method = item.get("Options") or {}, _method(item)
        rows = sorted(item.get("DomainValidationOptions") or [], key=lambda row: str(row["DomainName"]))
        return {
            "arn": self.id_of(item),
            "domainName": item.get("DomainName", ""),
            # In order of the names, so that a reference to one of them keeps its meaning.
            "domainValidationOptions": [_record(row) for row in rows if row.get("ResourceRecord")],
            "keyAlgorithm": item.get("KeyAlgorithm", "").replace("-", "_"),
            "notAfter": _time(item.get("NotAfter")),
            "notBefore": _time(item.get("NotBefore")),
            "options": {"certificateTransparencyLoggingPreference": options[camel(_LOGGING)]}
            if camel(_LOGGING) in options
            else {},
            "pendingRenewal": False,
            "renewalEligibility": item.get("RenewalEligibility", ""),
            "renewalSummaries": [],
            "status": item.get("Status", ""),
            "subjectAlternativeNames": sorted(item.get("SubjectAlternativeNames") or []),
            "type": item.get("Type", ""),
            "validationEmails": [],
            "validationMethod": method,
        }

    def live(self, asked: Mapping[str, Value], item: Item) -> Live:
        live = super().live(asked, item)
        if asked or item.get("Type") != "IMPORTED":
            return live
        # All that an uploaded certificate says is in the certificate itself, which is not read back.
        return Live(live.id, {"tags": live.inputs["tags"]} if "tags" in live.inputs else {}, live.outputs)

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        tags = to_tags(inputs.get("tags"))
        if "certificateBody" in inputs:
            with guarded("import_certificate"):
                arn = self.client.import_certificate(Tags=tags, **_uploaded(inputs))["CertificateArn"]
            call.made(arn)
            return self.settled(call, arn, inputs)
        request = given(
            inputs, DomainName="domainName", ValidationMethod="validationMethod", KeyAlgorithm="keyAlgorithm"
        )
        names = sorted({*(inputs.get("subjectAlternativeNames") or []), inputs["domainName"]})
        with guarded("request_certificate"):
            arn = self.client.request_certificate(
                # At most 32 characters.
                IdempotencyToken=call.client_token.replace("-", "")[:32],
                SubjectAlternativeNames=names,
                Tags=tags,
                **request,
                **_options(inputs),
            )["CertificateArn"]
        call.made(arn)

        def told(item: Item) -> bool:
            # The records that prove the names are ours follow after some seconds.
            if item.get("Status") in _LOST:
                raise _refused(item)
            rows = item.get("DomainValidationOptions") or []
            return _method(item) != "DNS" or (
                len(rows) >= len(names) and all(row.get("ResourceRecord") for row in rows)
            )

        return self.live(inputs, self.until(call, arn, told, "told how it is validated"))

    def tag(self, id_: str, tags: Mapping[str, Any]) -> None:
        self.client.add_tags_to_certificate(CertificateArn=id_, Tags=to_tags(tags))

    def untag(self, id_: str, keys: list[str]) -> None:
        self.client.remove_tags_from_certificate(CertificateArn=id_, Tags=[{"Key": key} for key in keys])

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "certificateBody", "certificateChain", "privateKey"):
            self.client.import_certificate(CertificateArn=known.id, **_uploaded(inputs))
        if self.differs(known, inputs, "options"):
            self.client.update_certificate_options(CertificateArn=known.id, **_options(inputs))

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_certificate(CertificateArn=known.id)


_LOGGING = "certificateTransparencyLoggingPreference"


def _options(inputs: Mapping[str, Value]) -> dict[str, Any]:
    wanted = (inputs.get("options") or {}).get(_LOGGING)
    return {"Options": {camel(_LOGGING): wanted}} if wanted else {}


def _uploaded(inputs: Mapping[str, Value]) -> dict[str, Any]:
    request = given(
        inputs, Certificate="certificateBody", PrivateKey="privateKey", CertificateChain="certificateChain"
    )
    return {name: str(text).encode() for name, text in request.items()}


def _method(item: Item) -> str:
    rows = item.get("DomainValidationOptions") or []
    if item.get("Type") == "IMPORTED":
        return "NONE"
    return str(rows[0].get("ValidationMethod", "")) if rows else ""


def _record(row: Item) -> dict[str, Value]:
    record = row["ResourceRecord"]
    return {
        "domainName": row["DomainName"],
        "resourceRecordName": record["Name"],
        "resourceRecordType": record["Type"],
        "resourceRecordValue": record["Value"],
    }


def _time(value: datetime | None) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if value else ""


def _refused(item: Item) -> ProviderError:
    why = str(item.get("FailureReason") or item.get("Status", "")).lower().replace("_", " ")
    return ProviderError(
        f"no certificate for {item.get('DomainName')} was issued",
        reason=Reason.FAILED,
        code=str(item.get("Status")),
        why=why,
    )


class CertificateValidation:
    """Waits until a certificate is issued. It makes nothing: deleting it does nothing."""

    token = "aws:acm/certificateValidation:CertificateValidation"

    def __init__(self, clients: Clients, rules: KindRules) -> None:
        self.rules = rules
        self._certificates = Certificate(clients, rules)

    def _look(self, id_: str, inputs: Mapping[str, Value]) -> Live | None:
        item = self._certificates.one(str(inputs["certificateArn"]))
        if item is None or item.get("Status") != "ISSUED":
            return None
        return Live(id_ or _issued(item), dict(inputs), dict(inputs))

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        return [self._look(item.id, item.inputs) for item in known]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        return self._look("", inputs)

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        def issued(item: Item) -> bool:
            if item.get("Status") in _LOST:
                raise _refused(item)
            return bool(item.get("Status") == "ISSUED")

        item = self._certificates.until(call, str(inputs["certificateArn"]), issued, "issued")
        return Live(_issued(item), dict(inputs), dict(inputs))

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        return self.create(call, inputs)

    def delete(self, call: Call, known: Known) -> None:
        del call, known


def _issued(item: Item) -> str:
    time = item.get("IssuedAt")
    return time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC") if time else _NEVER
