"""Keys of the Compose Specification that services don't take, with what to do instead."""

from __future__ import annotations

from collections.abc import Mapping

from rehost.stacks.diagnostics import PathKey

_IMAGE = "say it in the image, or in `command`"
_HOST = "leave it out: services reach servers of the stack by ${servers.<name>.private_ip}"
_RUNTIME = "leave it out: services run without more rights or devices than their user has"
_NAMES = "leave it out: rehost names what runs by stack, service and server"
SERVICE: Mapping[str, str] = {
    **dict.fromkeys(("entrypoint", "working_dir", "stop_signal", "domainname", "hostname", "init"), _IMAGE),
    **dict.fromkeys(("extra_hosts", "links", "external_links", "dns", "dns_opt", "dns_search"), _HOST),
    **dict.fromkeys(("networks", "network_mode", "mac_address", "ipc", "pid", "uts", "cgroup"), _HOST),
    **dict.fromkeys(("privileged", "cap_add", "cap_drop", "devices", "device_cgroup_rules", "gpus"), _RUNTIME),
    **dict.fromkeys(("security_opt", "group_add", "userns_mode", "cgroup_parent", "isolation"), _RUNTIME),
    **dict.fromkeys(("container_name", "labels", "label_file", "annotations", "attach"), _NAMES),
    "env_file": 'write the variables under `environment:`; "${env.NAME}" takes one from your machine',
    "secrets": 'give it as a variable: environment: {KEY: "${secrets.<name>}"}',
    "configs": "put the file into the image or into `source:`, or its content into a variable",
    "logging": "leave it out: what a service writes is in its server's journal",
    "ulimits": "leave it out, or set them in `command`: sh -c 'ulimit -n 65536; exec ...'",
    "sysctls": "set them on the server, in its `user_data`",
    "build": "build and push the image before, and name it under `image:`",
    "develop": "leave it out: it is for the machine of a developer",
    "scale": "one instance runs on each server of the group: set servers.<group>.count",
    "replicas": "one instance runs on each server of the group: set servers.<group>.count",
    "profiles": "keep what only some targets have in a file of its own, and lay it over with -f",
    "extends": "use YAML's own: x-base: &base {...}, then <<: *base",
    "expose": "leave it out, or publish the port under `ports:`",
    "tmpfs": "write to /tmp, or to a folder under `volumes:`",
    "read_only": "leave it out: what is written inside is gone with the next version",
    "shm_size": "leave it out, or mount a folder at /dev/shm under `volumes:`",
    "volumes_from": "name the same folders under `volumes:`",
    "platform": "set servers.<group>.architecture",
    "pull_policy": "leave it out: an image is fetched where it is not there yet; name versions by tag or digest",
    "mem_reservation": "make servers.<group>.size large enough; `mem_limit` is the most it may have",
    "memswap_limit": "use `mem_limit`: servers have no swap",
    "mem_swappiness": "use `mem_limit`: servers have no swap",
    "cpu_count": "use `cpus`",
    "cpu_percent": "use `cpus`",
    "cpu_period": "use `cpus`",
    "cpu_quota": "use `cpus`",
    "cpu_shares": "use `cpus`",
    "cpuset": "use `cpus`",
    "oom_kill_disable": "use `mem_limit`",
    "oom_score_adj": "use `mem_limit`",
    "post_start": "do it in `command`, or in a service with a `schedule`",
    "pre_stop": "let the service do it when it is asked to end (SIGTERM); `stop_grace_period` is its time",
    "stdin_open": "leave it out: nobody sits at a terminal",
    "tty": "leave it out: nobody sits at a terminal",
    "models": "name the service that serves the model in a variable",
    "provider": "declare what it provides under `databases:`, `caches:` or `buckets:`",
    "blkio_config": "choose a faster disk for the server",
    "storage_opt": "set servers.<group>.size.disk",
    "runtime": _RUNTIME,
    "credential_spec": _RUNTIME,
}
DEPLOY: Mapping[str, str] = {
    "replicas": SERVICE["replicas"],
    "mode": "one instance runs on each server of the group; for one in all, write singleton: true",
    "placement": "name the group of servers under `on:`",
    "restart_policy": "write `restart:`",
    "rollback_config": "leave it out: a version that does not get healthy is put back by itself",
    "endpoint_mode": "put a load balancer before the service: load_balancers.<name>.to: services.<name>",
    "labels": _NAMES,
}
UPDATE: Mapping[str, str] = dict.fromkeys(
    ("parallelism", "delay", "failure_action", "monitor", "max_failure_ratio"),
    "leave it out: servers of a group are updated one after the other, and none after one that fails",
)
HEALTH: Mapping[str, str] = {
    "disable": "remove the health check: none is made unless it is asked for",
    "start_interval": "use `interval`, which holds from the start",
}
RESOURCES: Mapping[str, str] = {
    "reservations": "make servers.<group>.size large enough for what runs there",
}


def instead(path: PathKey) -> str:
    """What to do instead of a key of Compose at a path of a stack file; nothing for any other key."""
    match path:
        case ("services", _, str(key)):
            return SERVICE.get(key, "")
        case ("services", _, "deploy", str(key)):
            return DEPLOY.get(key, "")
        case ("services", _, "deploy", "update_config", str(key)):
            return UPDATE.get(key, "")
        case ("services", _, "deploy", "resources", str(key)):
            return RESOURCES.get(key, "")
        case ("services", _, "healthcheck", str(key)):
            return HEALTH.get(key, "")
    return ""
