"""aws:secretsmanager/secret:Secret and aws:secretsmanager/secretVersion:SecretVersion"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import Item, ListedKind, from_tags, given, mark, to_tags
from rehost.providers.aws.kinds.tie import Tie
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live

_CURRENT = "AWSCURRENT"
"""The stage of the version that is handed out."""


class Secret(ListedKind):
    """A place for a secret; its id is its ARN. A deleted one blocks its name until its recovery window is over:
    one of ours is brought back."""

    token = "aws:secretsmanager/secret:Secret"
    service, id_field, name_input, name_field = "secretsmanager", "ARN", "name", "Name"
    listing, items = "list_secrets", "SecretList"

    def all(self) -> list[Item]:
        return [item for item in super().all() if not item.get("DeletedDate")]

    def properties(self, item: Item) -> dict[str, Value]:
        return {
            "arn": self.id_of(item),
            "description": item.get("Description") or "",
            "kmsKeyId": item.get("KmsKeyId") or "",
            "name": item["Name"],
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        try:
            with guarded("create_secret"):
                arn = self.client.create_secret(
                    ClientRequestToken=call.client_token,
                    Tags=to_tags(inputs.get("tags")),
                    **given(inputs, Name="name", Description="description", KmsKeyId="kmsKeyId"),
                )["ARN"]
        except ProviderError as error:
            if error.code not in ("InvalidRequestException", "ResourceExistsException"):
                raise
            arn = self._brought_back(inputs, error)
        call.made(arn)
        return self.settled(call, arn, inputs)

    def _brought_back(self, inputs: Mapping[str, Value], error: ProviderError) -> str:
        """The secret whose name is blocked, if it is ours. Raises `error` where it was not deleted at all."""
        with guarded("restore_secret"):
            old = self.client.describe_secret(SecretId=inputs["name"])
            if not old.get("DeletedDate"):
                raise error
            if from_tags(old.get("Tags")).get("rehost-id") != mark(inputs):
                raise ProviderError(
                    f"the secret {inputs['name']} was deleted and blocks its name",
                    reason=Reason.FAILED,
                    code=error.code,
                    why="Secrets Manager keeps a deleted secret until its recovery window is over",
                    fix="restore it, or delete it at once (`--force-delete-without-recovery`)",
                ) from error
            self.client.restore_secret(SecretId=old["ARN"])
            self._describe(old["ARN"], inputs)
            self.tag(old["ARN"], inputs.get("tags") or {})
        return str(old["ARN"])

    def _describe(self, arn: str, inputs: Mapping[str, Value]) -> None:
        about = {"Description": inputs.get("description", ""), **given(inputs, KmsKeyId="kmsKeyId")}
        self.client.update_secret(SecretId=arn, **about)

    def tag(self, id_: str, tags: Mapping[str, Any]) -> None:
        self.client.tag_resource(SecretId=id_, Tags=to_tags(tags))

    def untag(self, id_: str, keys: list[str]) -> None:
        self.client.untag_resource(SecretId=id_, TagKeys=keys)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "description", "kmsKeyId"):
            self._describe(known.id, inputs)

    def remove(self, call: Call, known: Known) -> None:
        if self.one(known.id) is None:
            return
        days = known.inputs.get("recoveryWindowInDays", self.rules.defaults["recoveryWindowInDays"])
        how: dict[str, Any] = {"RecoveryWindowInDays": days} if days else {"ForceDeleteWithoutRecovery": True}
        self.client.delete_secret(SecretId=known.id, **how)
        self.until_gone(call, known.id)


class SecretVersion(Tie):
    """What a secret holds. Versions are numbered by the step's token: repeating the call makes no second one.

    The current version can't be taken away; it goes with its secret.
    """

    token = "aws:secretsmanager/secretVersion:SecretVersion"
    service = "secretsmanager"

    def keyed(self, id_: str) -> dict[str, Value]:
        secret, version = id_.rsplit("|", 1)
        return {"secretId": secret, "versionId": version}

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        keys = [self.keyed(item.id) for item in known]
        found = [self._version(str(key["secretId"]), VersionId=str(key["versionId"])) for key in keys]
        # Where somebody put another value after it, it is no longer what the secret holds.
        found = [live if live and _CURRENT in live.outputs["versionStages"] else None for live in found]
        return [live and self.shown(item.inputs, live) for item, live in zip(known, found, strict=True)]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        live = self._version(str(inputs["secretId"]), VersionStage=_CURRENT)
        same = live is not None and live.outputs["secretString"] == inputs["secretString"]
        return self.shown(inputs, live) if live and same else None

    def _version(self, secret: str, **which: str) -> Live | None:
        try:
            with guarded("get_secret_value"):
                answer = self.client.get_secret_value(SecretId=secret, **which)
        except ProviderError as error:
            deleted = error.code == "InvalidRequestException" and "delet" in error.summary
            if deleted or error.reason is Reason.NOT_FOUND:
                return None
            raise
        values: dict[str, Value] = {
            "arn": answer["ARN"],
            "secretId": secret,
            "secretString": answer.get("SecretString", ""),
            "versionId": answer["VersionId"],
            "versionStages": sorted(answer.get("VersionStages") or []),
        }
        return Live(f"{secret}|{answer['VersionId']}", values, values)

    def imported(self, inputs: dict[str, Value]) -> dict[str, Value]:
        return {key: value for key, value in inputs.items() if key != "versionStages"}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("put_secret_value"):
            answer = self.client.put_secret_value(
                SecretId=inputs["secretId"],
                ClientRequestToken=call.client_token,
                SecretString=inputs["secretString"],
                **given(inputs, VersionStages="versionStages"),
            )
        id_ = f"{inputs['secretId']}|{answer['VersionId']}"
        call.made(id_)
        seen: list[Live] = []

        def there() -> bool:
            live = self.read([Known("", id_, inputs, {})])[0]
            if live is not None:
                seen.append(live)
            return bool(seen)

        call.poll(there, "the version to be visible")
        return seen[-1]

    def remove(self, call: Call, known: Known) -> None:
        # A version without a stage is deleted by Amazon in its own time.
        secret, version = known.id.rsplit("|", 1)
        live = self._version(secret, VersionId=version)
        for stage in live.outputs["versionStages"] if live else []:
            if stage != _CURRENT:
                self.client.update_secret_version_stage(
                    SecretId=secret, VersionStage=stage, RemoveFromVersionId=version
                )
